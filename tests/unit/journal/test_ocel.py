"""The export of flows as an object-centric event log, by the rules of OCEL 2.0."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.core.management import call_command
from pytest_django import DjangoAssertNumQueries

from microworkflows import times
from microworkflows.journal import ocel
from microworkflows.journal.models import Delivery, Flow
from tests.unit.journal import process_rows

pytestmark = pytest.mark.django_db

SCHEMA = json.loads((Path(__file__).parent / "ocel20.schema.json").read_text())
NOW = times.aware(times.now())
BEGAN = NOW - timedelta(minutes=10)


def exported(**window: Any) -> Any:
    log = json.loads("".join(ocel.export(**window)))
    checker = jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [error.message for error in checker.iter_errors(log)] == []
    return log


def test_log_is_valid_by_the_published_schema_and_refers_to_nothing_that_it_does_not_hold() -> None:
    process_rows.flow(BEGAN, process_rows.SHIPPED, number=1)
    process_rows.flow(BEGAN, process_rows.REFUSED, number=2)

    log = exported()

    objects, events = ({each["id"]: each for each in log[part]} for part in ("objects", "events"))
    assert (len(objects), len(events)) == (len(log["objects"]), len(log["events"])) == (6, 4 + 9 + 2 + 6)
    related = {each["objectId"] for event in log["events"] for each in event["relationships"]}
    assert related == set(objects)
    for part, types in (("events", "eventTypes"), ("objects", "objectTypes")):
        declared = {each["name"]: {a["name"] for a in each["attributes"]} for each in log[types]}
        for each in log[part]:
            assert {attribute["name"] for attribute in each["attributes"]} <= declared[each["type"]]
        assert {each["type"] for each in log[part]} == set(declared)


def test_event_is_related_to_its_subject_and_to_who_recorded_or_handled_it() -> None:
    made = process_rows.flow(BEGAN, process_rows.SHIPPED[:1], number=7)

    log = exported()

    first, handled, second = log["events"]
    assert first["type"] == process_rows.ACCEPTED
    assert first["relationships"] == [
        {"objectId": "orders.order:7", "qualifier": "about"},
        {"objectId": "context:orders", "qualifier": "recorded by"},
    ]
    assert handled["type"] == "payments.take_payment"
    assert handled["relationships"][1] == {"objectId": "context:payments", "qualifier": "handled by"}
    assert {"name": "seconds", "value": "0.008000"} in handled["attributes"]
    assert {"name": "emitted_by", "value": "payments.take_payment"} in second["attributes"]
    order = next(each for each in log["objects"] if each["id"] == "orders.order:7")
    assert order["attributes"] == [{"name": "name", "time": "1970-01-01T00:00:00Z", "value": made.name}]


def test_flows_about_one_object_are_one_object_and_a_flow_about_nothing_is_its_own() -> None:
    for number in (1, 2):
        process_rows.flow(BEGAN, process_rows.SHIPPED[:1], number=number, key="same")
    process_rows.flow(BEGAN, process_rows.SHIPPED[:1], number=3, kind="", key="", name="")

    objects = {each["id"]: each["type"] for each in exported()["objects"]}

    assert objects == {
        "orders.order:same": "orders.order",
        "flow:orders.order:3": "flow",
        "context:orders": "context",
        "context:payments": "context",
    }


def test_only_flows_that_began_in_the_time_are_exported_and_what_is_not_handled_is_left_out() -> None:
    process_rows.flow(BEGAN, process_rows.SHIPPED[:1], number=1)
    process_rows.flow(BEGAN - timedelta(hours=1), process_rows.SHIPPED[:1], number=2)
    Delivery.objects.update(status=Delivery.Status.PARKED)

    log = exported(since=BEGAN, until=NOW)

    assert [each["type"] for each in log["events"]] == [process_rows.ACCEPTED, process_rows.PAID]
    assert exported(since=NOW)["events"] == []


def test_number_of_queries_does_not_grow_with_the_flows(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(5):
        process_rows.flow(BEGAN, process_rows.SHIPPED, number=number)

    with django_assert_num_queries(4):  # flows, their events, their deliveries; and flows by object
        exported()


def test_command_writes_the_log_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process_rows.flow(BEGAN, process_rows.SHIPPED, number=1)
    file = tmp_path / "log.json"

    call_command("ocel", "--since", BEGAN.isoformat(), "--output", str(file))
    call_command("ocel")

    said = capsys.readouterr().out
    assert "The log is written to" in said
    assert json.loads(file.read_text()) == json.loads(said.partition("\n")[2])
    assert Flow.objects.count() == 1
