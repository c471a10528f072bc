"""A journal with a database of its own: its tables are there, and no others."""

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from microworkflows.journal.models import Flow
from microworkflows.journal.routers import JournalRouter
from microworkflows.models import OutboxEvent


def test_journal_is_read_and_written_in_its_own_database_and_nothing_else_is() -> None:
    router = JournalRouter()

    assert (router.db_for_read(Flow), router.db_for_write(Flow)) == ("journal", "journal")
    assert (router.db_for_read(OutboxEvent), router.db_for_write(OutboxEvent)) == (None, None)


@pytest.mark.parametrize(
    ("database", "app", "allowed"),
    [
        ("journal", "microworkflows_journal", True),
        ("default", "microworkflows_journal", False),
        ("journal", "orders", False),
        ("default", "orders", None),
    ],
)
def test_tables_are_made_where_they_belong(database: str, app: str, allowed: bool | None) -> None:
    assert JournalRouter().allow_migrate(database, app) is allowed


def test_source_that_is_no_database_is_found_at_start(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"JOURNAL_SOURCES": ["default", "paymets"]}

    (found,) = [each for each in run_checks() if each.id == "microworkflows.E080"]

    assert "paymets" in found.msg
