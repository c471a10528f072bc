"""Whole projects of other people take the kit in: their own tests still pass, and a flow runs through real processes."""

from collections.abc import Callable

import pytest

from tests.projects.foreign import ForeignProject

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.postgres, pytest.mark.rabbitmq]

INSTALLED = 'INSTALLED_APPS += ["django_outbox_pattern", "microworkflows"]\n'


def test_shop_on_django_oscar_takes_a_flow_in(
    foreign: Callable[..., ForeignProject], new_database: Callable[[str], str], broker_url: str
) -> None:
    database = new_database("shop")
    shop = foreign(
        "bookshop", DATABASE_URL=database, BROKER_URL=broker_url, DJANGO_SETTINGS_MODULE="bookshop.settings"
    )

    assert "3 passed" in shop.run("python", "-m", "pytest")
    shop.take_events_in()
    # Oscar's migrations take longer than all the rest: the tests' database is made without, and serves the flow.
    assert "4 passed" in shop.run("python", "-m", "pytest", "--create-db", "--reuse-db")
    tested = database.replace("/microworkflows", "/test_microworkflows")
    worker = shop.worker("-A", "bookshop", "worker", "-Q", "sales,packing", name="shop", DATABASE_URL=tested)
    worker.says(" ready.")
    seen = shop.customer(DATABASE_URL=tested)

    assert "packed" in seen
    assert "admin lacks" not in seen
    assert seen.count("admin shows") == 4
    assert "outbox 200" in seen
    assert "dashboard 200" in seen


def test_depot_with_tasks_on_redis_two_databases_and_no_admin_takes_a_flow_in(
    foreign: Callable[..., ForeignProject],
    new_database: Callable[[str], str],
    broker_url: str,
    redis_url: str,
) -> None:
    depot = foreign(
        "parcels",
        source="src",
        DEPOT_DATABASE=new_database("depot"),
        DEPOT_ARCHIVE=new_database("archive"),
        DEPOT_REDIS=redis_url,
        DEPOT_RABBITMQ=broker_url,
        DJANGO_SETTINGS_MODULE="depot.settings",
    )
    tests = ("python", "manage.py", "test", "depot", "--noinput")
    archive = {"DJANGO_SETTINGS_MODULE": "depot.settings.archive"}

    assert "Ran 2 tests" in depot.run(*tests, DEPOT="test")
    settings = depot.folder / "src/depot/settings/base.py"
    before = settings.read_text()
    depot.add_to("src/depot/settings/base.py", INSTALLED)
    installed = depot.run(*tests, DEPOT="test")
    settings.write_text(before)
    depot.take_events_in()
    assert "Ran 3 tests" in depot.run(*tests, DEPOT="test")

    depot.run("python", "manage.py", "migrate")
    depot.run("python", "manage.py", "migrate", **archive)
    depot.worker("-A", "depot", "worker", "-Q", "labels", "-P", "solo", name="labels")
    events = ("-A", "depot.events_app:app", "worker", "-Q")
    depot.worker(*events, "depot_parcels,billing", name="events")
    depot.worker(*events, "archiving", name="archive", **archive)
    seen = depot.customer()

    assert "(microworkflows.E031)" in installed  # a warning while nothing is declared
    assert "Ran 2 tests" in installed
    assert [line for line in seen.splitlines() if not line.startswith("{")] == [
        "accepted",
        "billed",
        "labelled",
        "archived",
    ]
