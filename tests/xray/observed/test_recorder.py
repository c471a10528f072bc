"""The recorder for pytest: what it sees in the workshop's tests, and that it changes none of their results."""

import pytest

from tests.xray.observed.conftest import Recorded
from tests.xray.observed.workshop import RECORDER, Workshop, outcomes, unit, written

PLACING = {
    ("insert", "sales_order", "sales.services.place_order"),
    ("insert", "sales_line", "sales.services.place_order"),
    ("update", "stock_item", "stock.models.Item.take"),
    ("insert", "stock_movement", "sales.services.place_order"),
}


def test_outermost_block_is_the_transaction_and_its_savepoints_belong_to_it(recorded: Recorded) -> None:
    block = unit(recorded.observed, "atomic", "sales.services.place_order", "request POST place")

    assert written(block.accesses) == PLACING
    assert block.count == 2  # parametrised
    assert not [
        each for each in recorded.observed.transactions if each.kind == "atomic" and "test" in each.name
    ]


def test_callbacks_of_a_commit_keep_their_order(recorded: Recorded) -> None:
    block = unit(recorded.observed, "atomic", "sales.services.place_order")

    assert block.on_commit == ("sales.services.tell", "sales.services.count")


def test_request_lists_all_that_happened_in_it(recorded: Recorded) -> None:
    request = unit(recorded.observed, "request", "POST place")

    assert not request.atomic
    assert written(request.accesses) - PLACING == {
        ("insert", "django_session", "django.contrib.sessions.middleware.SessionMiddleware")
    }


def test_place_is_the_innermost_line_with_the_functions_around_it(recorded: Recorded) -> None:
    block = unit(recorded.observed, "atomic", "sales.services.place_order", "request POST place")
    (update,) = [access for access in block.accesses if access.table == "stock_item"]
    writers = {writer.function: writer.tables for writer in block.writers}

    assert (update.place.file, update.place.app, update.columns) == ("stock/models.py", "stock", ("left",))
    assert writers["stock.models.Item.take"] == ("stock_item",)
    assert writers["sales.views.place"] == ("sales_line", "sales_order", "stock_item", "stock_movement")


def test_generic_view_without_code_of_its_own_is_the_place_of_what_it_writes(recorded: Recorded) -> None:
    request = unit(recorded.observed, "request", "POST note")

    assert written(request.accesses) == {("insert", "sales_note", "sales.views.NoteCreate")}
    assert request.accesses[0].place.file == "sales/views.py"


def test_asynchronous_view_is_seen(recorded: Recorded) -> None:
    request = unit(recorded.observed, "request", "POST later")

    assert written(request.accesses) == {("insert", "sales_order", "sales.views.place_later")}


def test_query_names_the_tables_that_it_joins(recorded: Recorded) -> None:
    reads = [
        access
        for access in unit(recorded.observed, "statement", "sales.services.forget").accesses
        if access.verb == "read"
    ]

    assert {access.table: access.joins for access in reads} == {
        "sales_line": ("sales_order", "stock_item"),
        "sales_order": ("sales_line", "stock_item"),
        "stock_item": ("sales_line", "sales_order"),
    }


def test_call_over_the_network_inside_a_transaction_is_seen(recorded: Recorded) -> None:
    (host,) = unit(recorded.observed, "atomic", "sales.services.charge").network

    assert host.startswith("127.0.0.1:")


def test_live_server_and_threads_are_seen(recorded: Recorded) -> None:
    # Twice: by the test client and by the live server.
    assert unit(recorded.observed, "request", "GET look").count == 2
    # Twice by plain calls in tests, and once in a thread.
    assert unit(recorded.observed, "atomic", "sales.services.place_order").count == 3


def test_functions_that_ran_are_named(recorded: Recorded) -> None:
    assert "sales.services.place_order" in recorded.observed.executed
    assert "sales.services.never" not in recorded.observed.executed
    assert not [name for name in recorded.observed.executed if "test" in name]


def test_what_tests_do_by_themselves_is_no_behaviour_of_the_project(recorded: Recorded) -> None:
    places = {access.place.file for each in recorded.observed.transactions for access in each.accesses}

    assert places == {"", "sales/services.py", "sales/views.py", "stock/models.py"}


def test_no_value_is_kept(recorded: Recorded) -> None:
    assert "secret" not in recorded.text


def test_recording_has_no_gap_and_counts_the_tests(recorded: Recorded) -> None:
    assert recorded.observed.gaps == ()
    assert recorded.observed.units == 12
    assert recorded.observed.source == "tests"
    assert "X-ray: 12 tests" in recorded.ended.stdout


def test_recorder_changes_no_result(recorded: Recorded, workshop: Workshop) -> None:
    plain = workshop.test("-p", "no:xdist")

    assert outcomes(plain) == outcomes(recorded.ended)
    assert sorted(set(outcomes(plain).values())) == ["FAILED", "PASSED"]
    assert len(outcomes(plain)) == 12


@pytest.mark.slow
def test_workers_of_xdist_make_one_recording(recorded: Recorded, workshop: Workshop) -> None:
    ended = workshop.test(*RECORDER, "-n", "2")
    observed = workshop.recording()

    assert outcomes(ended) == outcomes(recorded.ended)
    assert observed.units == 12
    assert observed.executed == recorded.observed.executed
    assert [(each.kind, each.name, each.count) for each in observed.transactions] == [
        (each.kind, each.name, each.count) for each in recorded.observed.transactions
    ]


def test_without_the_plugin_of_django_the_error_says_what_to_install(workshop: Workshop) -> None:
    ended = workshop.test(*RECORDER, "-p", "no:django")

    assert ended.returncode == 4
    assert "pip install pytest-django" in ended.stderr


def test_package_to_look_at_that_is_not_there_is_named(workshop: Workshop) -> None:
    ended = workshop.test(*RECORDER, "-p", "no:xdist", "--xray-also", "no_such_package")

    assert ended.returncode == 4
    assert "There is no package no_such_package" in ended.stderr


def test_request_under_atomic_requests_is_the_transaction(workshop: Workshop) -> None:
    ended = workshop.test(*RECORDER, "-p", "no:xdist", "-k", "placed and not async", WORKSHOP_ATOMIC="1")
    observed = workshop.recording()

    request = unit(observed, "request", "POST place")

    assert ended.returncode == 0, ended.stdout
    assert request.atomic
    assert request.on_commit == ("sales.services.tell", "sales.services.count")
    assert written(request.accesses) >= PLACING
    assert {each.name for each in observed.transactions if each.inside} <= {
        "django.contrib.sessions.middleware.SessionMiddleware"
    }
