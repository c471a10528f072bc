"""``manage.py top`` and ``manage.py deadlines``: what is unknown is a question mark, and a proposal is never a deadline."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from microworkflows.journal import histograms, proposals, rates, screen
from microworkflows.journal.models import Alarm, Flow
from microworkflows.journal.overall import overall
from tests.unit.journal import rows
from tests.unit.journal.rows import NOW

pytestmark = pytest.mark.django_db

ACCEPTED, SCHEDULED = "orders.order_accepted.v1", "shipping.shipment_scheduled.v1"


def told(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    call_command(*args)
    return capsys.readouterr().out


def test_rates_are_averages_of_whole_minutes() -> None:
    for minutes, count in ((0, 1000), (1, 30), (4, 20), (6, 1000)):
        at = NOW - timedelta(minutes=minutes)
        rows.minute(ACCEPTED, at=at, count=count)
        rows.minute(ACCEPTED, "payments.take_payment", at=at, count=count // 2, failed=5)

    found = rates.rates(now=NOW + timedelta(seconds=30))

    assert (found["orders"].relayed, found["orders"].handled) == (10, 0)
    assert (found["payments"].handled, found["payments"].failed) == (5, 2)


def test_top_shows_what_is_known_and_marks_what_is_not() -> None:
    rows.context("payments", tallied_at=rows.ago(90))
    rows.process("worker", "payments", life={"depths": {"payments": 1234}})
    rows.process("relay", "payments", life={"leads": []})
    rows.context("shipping")
    flow = rows.flow("A-000123", waiting_for=["payments.take_payment"])
    Alarm.objects.create(
        flow=flow,
        awaited=SCHEDULED,
        of=ACCEPTED,
        due_at=rows.ago(60),
        raised_at=rows.ago(50),
        owner="payments",
        cause="backlog",
        details="1,234 messages wait in the queue of payments.\nSo it is.",
    )

    found = overall(now=NOW, most=10)
    shown = list(screen.lines(found))

    payments, shipping = screen.rows(found)
    assert payments[2:7] == ["does not lead", "1,234", "0", "1", "?"]
    assert shipping[1:4] == ["?", "?", "?"]
    assert shown[0].endswith(f"heard last at {screen._clock(found['heard_at'])}")
    assert "1 on its way" in shown[0]
    assert "1 overdue" in shown[0]
    assert any("A-000123  Shipment scheduled was due" in line and "\\nSo it is" in line for line in shown)


def test_top_ends_after_one_look_and_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "never heard from anybody" in told(capsys, "top", "--once")

    rows.context("payments")
    found = json.loads(told(capsys, "top", "--once", "--format", "json"))

    assert found["contexts"][0]["context"] == "payments"
    assert found["contexts"][0]["worker"] == {"life": "unknown", "since": None}
    assert found["contexts"][0]["depth"] is None


def test_rich_draws_the_same_cells() -> None:
    console = pytest.importorskip("rich.console").Console(width=250, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    rows.context("payments")

    console.print(screen.renderable(overall(now=NOW, most=1)))

    drawn = console.export_text()
    assert "payments" in drawn
    assert "handled/min" in drawn
    console.file.close()


def finished(number: int, seconds: float) -> Flow:
    flow = rows.flow(f"A-{number:06}", began=1000, state=Flow.State.DONE)
    rows.event(flow, ACCEPTED, at=1000)
    rows.event(flow, SCHEDULED, at=1000 - seconds)
    return flow


def test_deadlines_are_proposed_from_what_flows_take(capsys: pytest.CaptureFixture[str]) -> None:
    rows.context("orders", deadlines=[(SCHEDULED, ACCEPTED, 1800)])
    for number in range(1, 101):
        finished(number, number / 10)

    (way,) = proposals.ways()
    said = told(capsys, "deadlines")

    assert way.declared == timedelta(minutes=30)
    assert (way.flows, way.median, way.p99, way.longest) == (
        *(100, timedelta(seconds=5)),
        *(timedelta(seconds=9.9), timedelta(seconds=10)),
    )
    assert way.proposed == timedelta(seconds=30)
    assert "declared 30 min" in said
    assert not Alarm.objects.exists()


def test_ways_to_an_outcome_are_looked_at_without_a_deadline_and_few_flows_propose_nothing() -> None:
    rows.context("shipping", outcomes={SCHEDULED: "shipped"})
    finished(1, 2.0)

    (way,) = proposals.ways()

    assert (way.awaited, way.of, way.declared, way.flows) == (SCHEDULED, ACCEPTED, None, 1)
    assert way.proposed is None


def test_slow_hops_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    now = timezone.now()
    rows.minute(ACCEPTED, "payments.take_payment", at=now, count=2, hops=histograms.counted(0.5, [0, 0, 1]))
    rows.minute(ACCEPTED, "orders.note", at=now, count=1, hops=[1])

    found: dict[str, Any] = json.loads(told(capsys, "deadlines", "--format", "json"))

    assert [hop["consumer"] for hop in found["hops"]] == ["payments.take_payment", "orders.note"]
    assert "Slowest hops" in told(capsys, "deadlines")


@pytest.mark.parametrize(
    ("seconds", "round_time"),
    [(0.2, 1), (1.2, 2), (47, 60), (61, 120), (3000, 3600), (50_000, 54_000), (90_000, 172_800)],
)
def test_proposals_are_round(seconds: float, round_time: float) -> None:
    assert proposals.rounded_up(timedelta(seconds=seconds)) == timedelta(seconds=round_time)
