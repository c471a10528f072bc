"""The figures of the cut-over, as page and command show them."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from microworkflows import heartbeats
from microworkflows.cutover import legacy_steps
from microworkflows.cutover import overview as of_the_page
from microworkflows.cutover.models import ContextMove, ModeChange, ShadowComparison
from microworkflows.cutover.overview import Context, Overview, overview
from microworkflows.cutover.queries import Flows
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import Setting
from microworkflows.errors import PermanentError
from microworkflows.models import Heartbeat, InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders import operations
from payments import gateway
from payments.workflows import take_payment
from tests.unit.cutover.conftest import CONTEXTS, Switch
from tests.unit.shop.conftest import Draft


def of(name: str) -> Context:
    return next(context for context in overview().contexts if context.name == name)


def compare(
    outcome: str, *, legacy: int = 2000, shadow: int = 4000, workflow: str = "payments.take_payment"
) -> None:
    ShadowComparison.objects.create(
        workflow=workflow,
        event_id=uuid4(),
        event_type="orders.order_accepted.v1",
        correlation_id="a-flow",
        outcome=outcome,
        legacy_microseconds=legacy,
        shadow_microseconds=shadow,
        compared_at=timezone.now(),
    )


def test_context_without_a_row_is_inline_since_the_beginning(monolith: None, db: None) -> None:
    figures = overview()

    assert [context.name for context in figures.contexts] == CONTEXTS
    payments = of("payments")
    assert (payments.setting, payments.changed, payments.worker) == (Setting(Mode.INLINE), None, None)
    assert (payments.shadow, payments.failures.since, payments.failures.by_status) == (None, None, [])
    assert not figures.monolith_is_needed


def test_nothing_is_handed_over_where_no_context_is_named(db: None) -> None:
    assert overview() == Overview(contexts=(), monolith=None, monolith_is_needed=False, forsaken={})


def test_last_change_is_told(go: Switch) -> None:
    go("payments", "live", 10)
    go("payments", "live", 50)

    payments = of("payments")

    assert payments.setting == Setting(Mode.LIVE, 50)
    assert payments.changed is not None
    assert (payments.changed.by, payments.changed.why) == ("somebody", "a test")
    assert payments.changed.at == ModeChange.objects.latest("pk").changed_at


def test_worker_is_running_until_it_is_stopped_or_its_last_heartbeat_is_too_old(workers: None) -> None:
    long_ago = timezone.now() - heartbeats.STALE_AFTER - timedelta(seconds=1)
    Heartbeat.objects.filter(queue="inventory").update(seen_at=long_ago)
    Heartbeat.objects.filter(queue="shipping").update(stopped_at=timezone.now())

    found = {context: of(context).worker for context in CONTEXTS}

    assert {context: worker and (worker.stopped, worker.stale) for context, worker in found.items()} == {
        "orders": (False, False),
        "payments": (False, False),
        "inventory": (False, True),
        "shipping": (True, False),
    }
    assert [context for context in CONTEXTS if of(context).has_worker] == ["orders", "payments"]


def test_monoliths_worker_is_needed_while_some_flows_are_live_and_others_are_not(go: Switch) -> None:
    needed = []
    for context in CONTEXTS:
        go(context, "live")
        needed.append(overview().monolith_is_needed)
    go("payments", "live", 99)
    needed.append(overview().monolith_is_needed)

    assert needed == [True, True, True, False, True]


@pytest.mark.parametrize(
    ("mode", "percent", "ways"),
    [
        ("inline", None, ["live 1 %", "live 10 %", "live 50 %", "live 100 %"]),
        ("live", 1, ["live 10 %", "live 50 %", "live 100 %"]),
        ("live", 20, ["live 50 %", "live 100 %"]),
        ("live", 100, []),
    ],
)
def test_way_on_without_a_legacy_step_leads_to_ever_more_live_flows(
    go: Switch, mode: str, percent: int | None, ways: list[str]
) -> None:
    go("payments", mode, percent)

    assert [str(way) for way in of("payments").ways_on] == ways


def test_way_on_leads_through_shadow_where_there_is_something_to_compare_with(go: Switch) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)

    first = of("payments").ways_on
    go("payments", "shadow")

    assert first == (Setting(Mode.SHADOW),)
    assert [str(way) for way in of("payments").ways_on] == [
        "live 1 %",
        "live 10 %",
        "live 50 %",
        "live 100 %",
    ]


@pytest.mark.parametrize(
    ("mode", "ways"),
    [("inline", []), ("shadow", [Mode.INLINE]), ("live", [Mode.INLINE, Mode.SHADOW])],
)
def test_way_back_leads_to_inline_and_from_live_to_shadow_as_well(
    go: Switch, mode: str, ways: list[Mode]
) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    go("payments", mode)

    assert of("payments").ways_back == tuple(map(Setting, ways))


def test_way_back_leads_to_inline_alone_where_there_is_nothing_to_compare_with(go: Switch) -> None:
    go("payments", "live")

    assert of("payments").ways_back == (Setting(Mode.INLINE),)


def test_no_way_leads_on_for_what_has_no_microworkflow(monolith: None, settings: object, db: None) -> None:
    settings.MICROWORKFLOWS = {"CUTOVER": ["billing"]}  # type: ignore[attr-defined]  # pytest-django's settings

    assert of("billing").ways_on == ()


def test_shadow_runs_count_since_the_context_last_went_to_shadow(go: Switch) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    go("payments", "shadow")
    compare("failed")
    go("payments", "inline")
    go("payments", "shadow")
    for outcome in ("agreed", "agreed", "differs", "refused"):
        compare(outcome, legacy=1000, shadow=3500)
    compare("failed", workflow="inventory.reserve_items")
    go("payments", "live", 10)

    shadow = of("payments").shadow

    assert shadow is not None
    assert (shadow.compared, shadow.not_agreed) == (4, 2)
    assert shadow.by_outcome == [("differ", 1), ("refused", 1)]
    assert (shadow.legacy_milliseconds, shadow.shadow_milliseconds) == (1.0, 3.5)


def test_shadow_without_a_run_yet_has_no_times(go: Switch) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    go("payments", "shadow")

    shadow = of("payments").shadow

    assert shadow is not None
    assert (shadow.compared, shadow.legacy_milliseconds, shadow.shadow_milliseconds) == (0, None, None)


def test_failures_count_since_the_last_change(
    go: Switch, draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("payments", "live")
    for error in (
        PermanentError("no such merchant"),
        ConnectionError("no answer"),
        ConnectionError("no answer"),
    ):

        def charge(*args: object, error: Exception = error, **options: object) -> None:
            raise error

        monkeypatch.setattr(gateway, "configured", charge)
        operations.place_order(order=draft())
        flow.run(keep_failures=True)

    before = of("payments")
    InboxEvent.objects.update(added=timezone.now() - timedelta(days=1))

    assert before.failures.by_status == [("parked", 1), ("waiting", 2)]
    assert before.failures.earlier == 0
    assert before.reason_to_go_back == "live 100 % fails: 1 parked, 2 waiting"
    assert before.in_flight == Flows(live=3)
    after = of("payments")
    assert (after.failures.by_status, after.failures.earlier) == ([], 3)
    assert after.reason_to_go_back == "back from live 100 %, to be safe"


def test_flows_of_a_context_that_has_moved_away_are_not_known(
    go: Switch, draft: Draft, capsys: pytest.CaptureFixture[str], admin_client: Client
) -> None:
    go("payments", "live")
    operations.place_order(order=draft())
    ContextMove.objects.create(
        context="payments",
        target="elsewhere",
        step="moved",
        started_at=timezone.now(),
        changed_at=timezone.now(),
    )

    call_command("cutover", "payments")
    page = admin_client.get(reverse("admin:microworkflows_cutover_contextmode_changelist"))

    assert of("payments").in_flight is None
    assert "in its own database" in capsys.readouterr().out
    assert "it has a database of its own" in page.content.decode()


def test_flows_are_looked_for_among_the_newest_events(
    go: Switch, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("payments", "live")
    for _ in range(3):
        operations.place_order(order=draft())
    events = OutboxEvent.objects.count()

    found = []
    for newest in (events, events - 1, 1):
        monkeypatch.setattr(of_the_page, "NEWEST", newest)
        found.append(of("payments").in_flight)

    assert found == [Flows(live=3), Flows(live=2), Flows(live=1)]
