"""The drift gate: what is declared is held against what was observed, in the journal and in a run of tests."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from microworkflows import drift, flows, times
from microworkflows.journal import observing
from microworkflows.journal.models import Delivery, Event
from microworkflows.testing import Flow
from tests.architecture.files import ROOT
from tests.unit.journal import process_rows

NOW = times.aware(times.now())
BEGAN = NOW - timedelta(minutes=10)

STALE = "orders.order_accepted.v1 -> orders.never"


def gate(*options: str) -> None:
    call_command("drift", *options)


@pytest.fixture
def everything(db: None) -> None:
    """The contexts' declarations, and a flow that leaves some of them unobserved."""
    process_rows.contexts(NOW)
    process_rows.flow(BEGAN, process_rows.SHIPPED)


def unobserved() -> list[str]:
    found = drift.compare(
        declared=observing.declared(), observed=observing.observed(since=BEGAN - timedelta(hours=1))
    )
    assert found.undeclared == ()
    return list(found.unobserved)


def test_edges_of_the_rows_are_those_of_the_declarations(everything: None) -> None:
    assert observing.declared() == drift.declared_here()
    assert "payments.payment_declined.v1 -> orders.cancel_declined" in unobserved()
    assert "payments.take_payment -> payments.payment_received.v1" not in unobserved()
    assert "orders -> orders.order_accepted.v1" not in unobserved()


def test_edge_that_nobody_declared_and_one_that_nobody_went_fail_by_name(
    everything: None, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted = Event.objects.get(type=process_rows.ACCEPTED)
    Delivery.objects.create(
        event=accepted,
        consumer="billing.charge",
        status=Delivery.Status.HANDLED,
        received_at=NOW,
        changed_at=NOW,
    )

    with pytest.raises(CommandError, match="differs from what is declared"):
        gate()

    said = capsys.readouterr().out
    assert "observed, not declared: orders.order_accepted.v1 -> billing.charge." in said
    assert "declared, never observed: payments.payment_declined.v1 -> orders.cancel_declined." in said


def test_allowed_edges_pass_and_an_allowance_without_need_fails(
    everything: None, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = [f"--allow={name}" for name in unobserved()]
    gate(*allowed)
    assert "as declared" in capsys.readouterr().out

    with pytest.raises(CommandError):
        gate(*allowed, f"--allow={STALE}", "--format=json")

    assert json.loads(capsys.readouterr().out) == {"undeclared": [], "unobserved": [], "stale": [STALE]}


@pytest.mark.django_db
def test_journal_without_flows_proves_nothing_and_says_so() -> None:
    process_rows.contexts(NOW)
    process_rows.flow(NOW - timedelta(days=3), process_rows.SHIPPED)

    with pytest.raises(CommandError, match="nothing was observed"):
        gate()


@pytest.mark.django_db
def test_observer_sees_who_begins_hears_and_emits_in_a_test(
    post: SimpleNamespace,
    flow: Flow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observer = drift.Observer()
    monkeypatch.setattr(flows, "_guests", [*flows._guests, observer])

    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()

    assert observer.observed == drift.declared_here() | {"letters -> letters.letter_written.v1"}
    assert "desk.stamp_letter -> desk.letter_stamped.v1" in observer.observed


def run(*options: str) -> Any:
    command = [sys.executable, "-m", "pytest", "-q", "tests/unit/shop/test_ways.py", *options]
    return subprocess.run(
        [*command, "--microworkflows-drift"],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": "sqlite://"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_run_of_tests_in_two_processes_fails_and_names_the_edge_that_no_test_goes() -> None:
    edge = "inventory.note_order -> inventory.out_of_stock.v1"

    part = run(
        "-n2", "-k", "not disorder and not is_refunded_if", "-o", f"microworkflows_drift_allow={STALE}"
    )
    whole = run("-pno:xdist", "-k", "not disorder")

    assert part.returncode == 1
    named = [line.partition(". ")[0] for line in part.stdout.splitlines() if " -> " in line]
    assert named == [f"declared, never observed: {edge}", f"allowed, without need: {STALE}"]
    assert whole.returncode == 0, whole.stdout
