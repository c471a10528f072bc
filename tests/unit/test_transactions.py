"""Transactions of the kit's own: a limit on statements ends with its block, whatever transaction goes on around it."""

import pytest
from django.db import OperationalError, connection, transaction

from microworkflows import transactions

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def test_limit_holds_in_its_block_alone() -> None:
    with transaction.atomic():
        _execute("SET LOCAL statement_timeout = '30s'")
        with transactions.limited(2, using="default"):
            inside = _limit()
        after = _limit()

    assert (inside, after, _limit()) == ("2s", "30s", "0")


def test_statement_that_lasts_longer_is_an_error_and_the_transaction_around_it_goes_on() -> None:
    with transaction.atomic():
        _execute("SET LOCAL statement_timeout = '30s'")
        with (
            pytest.raises(OperationalError, match="statement timeout"),
            transactions.limited(0.05, using="default"),
        ):
            _execute("SELECT pg_sleep(30)")

        assert _limit() == "30s"


def _limit() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
