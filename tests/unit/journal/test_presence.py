"""Presence: recent notices alone tell that something works."""

import pytest

from microworkflows.journal import presence
from microworkflows.journal.models import Flow
from microworkflows.journal.presence import Life
from tests.unit.journal import rows
from tests.unit.journal.rows import NOW, ago

pytestmark = pytest.mark.django_db


def seen(context: str = "payments") -> presence.Presence:
    return presence.presence(context, now=NOW)


def test_a_context_that_nobody_has_told_of_is_unknown_throughout() -> None:
    found = seen()

    assert found.worker.life is found.relay.life is Life.UNKNOWN
    assert found.depth is found.parked is found.dead is found.pending is None
    assert found.is_unknown
    assert not found.needs_attention


def test_a_worker_and_a_relay_that_were_seen_lately_are_alive() -> None:
    rows.process("worker", "payments", life={"depths": {"payments": 7}, "handling": 2})
    rows.process("relay", "payments")
    rows.context("payments", tally={"parked": 3, "pending": 1, "oldest": ago(42).timestamp()})

    found = seen()

    assert (found.worker.life, found.relay.life, found.relay.leads) == (Life.ALIVE, Life.ALIVE, True)
    assert found.worker.since == ago(3600)
    assert (found.depth, found.handling, found.parked, found.dead) == (7, 2, 3, 0)
    assert found.oldest_at == ago(42)
    assert found.needs_attention  # of the parked
    assert not found.is_unknown


def test_a_stopped_worker_is_stopped_since_then() -> None:
    rows.process("worker", "payments", seen=300, stopped_at=ago(300))

    found = seen()

    assert (found.worker.life, found.worker.since) == (Life.STOPPED, ago(300))
    assert found.depth is None


def test_a_killed_worker_is_silent_while_others_are_heard() -> None:
    rows.process("worker", "payments", seen=300)
    rows.process("worker", "orders")

    assert (seen().worker.life, seen().worker.since) == (Life.SILENT, ago(300))


def test_nobody_is_accused_while_the_journal_hears_from_nobody() -> None:
    rows.process("worker", "payments", seen=300)
    rows.process("worker", "orders", seen=300)

    found = {each.context: each.worker.life for each in presence.presences(now=NOW)}

    assert found == {"orders": Life.UNKNOWN, "payments": Life.UNKNOWN}


def test_a_worker_that_took_over_counts_whatever_became_of_the_other() -> None:
    rows.process("worker", "payments", seen=5, stopped_at=ago(5))
    rows.process("worker", "payments", seen=10, life={"depths": {"payments": None}})

    found = seen()

    assert found.worker.life is Life.ALIVE
    assert found.depth is None


def test_a_relay_that_lives_without_the_lead_is_told_apart_from_one_that_nobody_knows_of() -> None:
    rows.process("relay", "payments", "orders", life={"leads": ["orders"]})
    rows.process("relay", "shipping", life={"leads": None})

    assert seen().relay.leads is False
    assert seen().needs_attention
    assert seen("orders").relay.leads is True
    assert seen("shipping").relay.leads is None


def test_an_old_tally_is_unknown_and_not_zero() -> None:
    rows.context("payments", tallied_at=ago(61))

    found = seen()

    assert found.parked is found.failing is None
    assert found.tallied_at == ago(61)


def test_open_flows_are_counted_for_the_contexts_that_have_to_act_next() -> None:
    rows.context("payments")
    rows.flow("A-000001", began=500, waiting_for=["payments.charge", "payments.notify"])
    rows.flow("A-000002", began=400, waiting_for=["payments.charge", "shipping.prepare"])
    rows.flow("A-000003", began=900, waiting_for=["payments.charge"], state=Flow.State.DONE)

    found = seen()

    assert (found.flows, found.flows_since) == (2, ago(500))
