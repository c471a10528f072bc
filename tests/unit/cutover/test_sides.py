"""Live beside inline, the flows that need a worker, differences by field, and what waits in queues that nobody consumes."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from kombu import Connection

from microworkflows import celery_app, embedded, topology
from microworkflows.cutover import backlog, evidence, legacy_steps, overview, sides
from microworkflows.models import Header, Heartbeat, InboxEvent
from microworkflows.testing import Flow
from orders import operations
from payments import gateway
from payments.workflows import take_payment
from tests.unit.cutover.conftest import Switch
from tests.unit.cutover.test_cutover_admin import PAGE, card
from tests.unit.cutover.test_cutover_commands import compared
from tests.unit.shop.conftest import Draft, admin_user  # noqa: F401  (a fixture)

Output = pytest.CaptureFixture[str]


def test_context_that_never_went_live_has_no_sides(go: Switch) -> None:
    assert sides.of("payments") is None


def test_both_sides_are_counted_timed_and_followed_to_their_ends(
    go: Switch, draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    operations.place_order(order=draft())  # before it went live
    go("payments", "live")
    for _ in range(2):
        operations.place_order(order=draft())
        flow.run()
    monkeypatch.setattr(gateway, "configured", lambda: None)
    operations.place_order(order=draft())
    flow.run(keep_failures=True)
    done = InboxEvent.objects.of_context("payments").filter(status=InboxEvent.Status.HANDLED)
    for row, seconds in zip(done.exclude(headers__has_key=Header.MODE).order_by("pk"), (1, 3), strict=True):
        row.added = row.added.replace(microsecond=0)
        row.body = {**row.body, "time": (row.added - timedelta(seconds=seconds)).isoformat() + "+00:00"}
        row.body["time"] = row.body["time"].replace("+00:00+00:00", "+00:00")
        row.save()
    last = InboxEvent.objects.of_context("payments").filter(status=InboxEvent.Status.HANDLED).latest("pk")
    last.headers = {**last.headers, Header.MODE: "inline"}
    last.save()

    found = sides.of("payments")

    assert found is not None
    assert (found.live.flows, found.live.failing, found.live.ended) == (2, 1, 1)
    assert (found.inline.flows, found.inline.failing, found.inline.ended) == (1, 0, 1)
    assert found.live.ended_percent == 50
    assert (found.live.p50, found.live.p95) == (1.0, 1.0)
    assert (found.inline.p50, found.inline.p95) == (3.0, 3.0)
    call_command("cutover", "payments")
    said = capsys.readouterr().out
    assert (
        "live    2 flows, 1 failing messages, p50 1.000 s, p95 1.000 s, 1 have reached a final state" in said
    )
    assert not found.cut


def test_percentiles_lie_between_the_values() -> None:
    values = [float(number) for number in range(101)]

    assert (sides._percentile(values, 50), sides._percentile(values, 95)) == (50.0, 95.0)
    assert sides._percentile([], 50) is None


def test_flows_that_need_the_worker_are_linked_before_and_after_going_back(
    admin_client: Client, go: Switch, draft: Draft, capsys: Output
) -> None:
    go("payments", "live")
    orders = [operations.place_order(order=draft()) for _ in range(overview._FIRST + 1)]
    live = card(admin_client.get(reverse(PAGE)), "payments")
    go("payments", "inline")
    back = card(admin_client.get(reverse(PAGE)), "payments")
    everything = admin_client.get(reverse("admin:microworkflows_cutover_flows", args=["payments"]))
    call_command("cutover", "payments")

    journeys = {reverse("admin:microworkflows_journey", args=[str(order.pk)]) for order in orders}
    for shown in (live, back):
        assert "7 flows still need the payments worker" in shown
        assert sum(f'href="{url}"' in shown for url in journeys) == overview._FIRST
        assert reverse("admin:microworkflows_cutover_flows", args=["payments"]) in shown
    assert "Keep its worker until there is none." in back
    assert all(url in everything.content.decode() for url in journeys)
    assert all(order.number in everything.content.decode() for order in orders)
    assert "7 flows still need the payments worker." in capsys.readouterr().out


def test_flows_are_for_those_who_may_see_the_inbox(client: Client, workers: None) -> None:
    url = reverse("admin:microworkflows_cutover_flows", args=["payments"])

    assert client.get(url).status_code == 302


def test_differences_are_grouped_by_what_differs_and_name_what_they_are_about(
    admin_client: Client, go: Switch, draft: Draft, capsys: Output
) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    go("payments", "shadow")
    order = operations.place_order(order=draft())
    for key in ("17", "18 b"):
        what = f"row payments.Payment {key} updated: state"
        compared(
            "differs",
            correlation_id=str(order.pk),
            differences=[{"what": what, "legacy": "a", "shadow": key}],
        )
    other = compared(
        "differs",
        differences=[{"what": "event payments.payment_received.v1: currency", "legacy": 1, "shadow": 2}],
    )

    found = [
        each for each in evidence.disagreements("payments") if "Payment" in each.what or "event" in each.what
    ]
    state = next(each for each in found if each.what.endswith("state"))
    page = card(admin_client.get(reverse(PAGE)), "payments")

    assert (state.what, state.number) == ("row payments.Payment updated: state", 2)
    assert (state.legacy, state.shadow) == ("a", "18 b")
    assert [name for _, name in state.examples] == [order.number]
    assert found[0].what == state.what, "the most frequent first"
    assert f">{order.number}</a>" in page
    call_command("cutover", "payments")
    said = f"  2 × payments.take_payment, row payments.Payment updated: state: in {order.number}"
    assert said in capsys.readouterr().out.splitlines()
    url = reverse("admin:microworkflows_cutover_shadowcomparison_change", args=[other.pk])
    assert f'<a href="{url}">a-flow</a>' in page


# Queues that nobody consumes


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: None) -> Connection:
    """Return a broker in whose queue of payments two messages wait."""
    embedded.register()
    url = f"embedded://{tmp_path / 'broker'}"
    monkeypatch.setattr(celery_app.get(), "connection_for_read", lambda **options: Connection(url))
    connection = Connection(url)
    topology.declare(connection.channel())
    for _ in range(2):
        connection.Producer().publish("{}", exchange=topology.exchange_name(), routing_key="payments")
    return connection


def test_messages_that_nobody_consumes_are_counted_and_told(
    broker: Connection, admin_client: Client, capsys: Output
) -> None:
    Heartbeat.objects.filter(queue="payments").delete()

    found = backlog.without_consumer(["payments", "orders"])
    page = card(admin_client.get(reverse(PAGE)), "payments")
    call_command("cutover")

    assert found == {"payments": 2}
    assert "2 wait" in page
    assert "with no consumer" in page
    assert "In the queue of payments, which has no consumer, 2 messages wait." in capsys.readouterr().out


def test_broker_that_does_not_answer_leaves_it_unknown(
    workers: None, admin_client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Heartbeat.objects.filter(queue="payments").delete()

    def away(**options: object) -> None:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(celery_app.get(), "connection_for_read", away)

    found = backlog.without_consumer(["payments", "orders"])
    page = card(admin_client.get(reverse(PAGE)), "payments")

    assert found == {"payments": None, "orders": None}
    assert "the broker does not tell what waits there" in page
    assert "ConnectionRefusedError: nobody there" in caplog.text
