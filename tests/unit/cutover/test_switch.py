"""The switch: who may go where, what is noted of it, and how flows are stamped."""

import itertools
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from microworkflows import recording
from microworkflows.cutover import legacy_steps, switch
from microworkflows.cutover.models import ContextMode, ContextMove, ModeChange
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import CutoverRefusedError, Setting
from microworkflows.models import OutboxEvent
from microworkflows.subjects import Subject
from orders import operations
from payments.events import PaymentDeclined
from payments.workflows import take_payment
from tests.unit.cutover.conftest import CONTEXTS, Switch
from tests.unit.shop.conftest import Draft


def test_everything_is_inline_at_first(monolith: None, db: None) -> None:
    assert switch.settings() == dict.fromkeys(CONTEXTS, Setting(Mode.INLINE))
    assert str(switch.stamp("a-flow")) == "inventory=inline orders=inline payments=inline shipping=inline"


def test_change_is_audited(go: Switch) -> None:
    go("payments", "live", 10)
    go("payments", "inline")

    assert [str(change) for change in ModeChange.objects.all()] == [
        "payments: live 10 % → inline",
        "payments: inline → live 10 %",
    ]
    change = ModeChange.objects.latest("pk")
    assert (change.changed_by, change.why) == ("somebody", "a test")


def test_change_to_what_it_is_changes_nothing(go: Switch) -> None:
    go("payments", "live", 10)

    assert go("payments", "live", 10) == Setting(Mode.LIVE, 10)

    assert ModeChange.objects.count() == 1


def test_live_takes_all_flows_where_no_percentage_is_said(go: Switch) -> None:
    assert go("payments", "live") == Setting(Mode.LIVE, 100)


@pytest.mark.parametrize(
    ("context", "mode", "percent", "problem"),
    [
        ("billing", "live", 10, "'billing' is not being cut over"),
        ("payments", "live", 0, "from 1 to 100, not 0"),
        ("payments", "live", 101, "from 1 to 100, not 101"),
        ("payments", "inline", 10, "goes with live only"),
        ("payments", "shadow", None, "no legacy step to compare"),
    ],
)
def test_invalid_move_is_refused(
    go: Switch, context: str, mode: str, percent: int | None, problem: str
) -> None:
    with pytest.raises(CutoverRefusedError, match=problem):
        go(context, mode, percent)

    assert not ContextMode.objects.exists()
    assert not ModeChange.objects.exists()


def test_shadow_needs_a_legacy_step(go: Switch) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)

    assert go("payments", "shadow") == Setting(Mode.SHADOW)


def test_context_with_a_database_of_its_own_stays_live(go: Switch) -> None:
    now = timezone.now()
    ContextMove.objects.create(
        context="payments", target="postgres://there/payments", step="moved", started_at=now, changed_at=now
    )

    with pytest.raises(
        CutoverRefusedError, match="works in a database of its own, postgres://there/payments"
    ):
        go("payments", "live", 50)


def test_flows_about_two_kinds_with_the_same_key_have_stamps_of_their_own(go: Switch) -> None:
    order, invoice = (Subject(kind=kind, key=1) for kind in ("order", "invoice"))
    event = PaymentDeclined(order_id=uuid4(), reason="none")

    def stamp(about: Subject) -> str | None:
        with transaction.atomic():
            return recording.record([event], about=about)[0].meta.mark

    inline = stamp(order)
    for context in CONTEXTS:
        go(context, "live", 99)

    assert stamp(order) == inline  # its flow goes on as it began
    assert stamp(invoice) != inline


def test_change_needs_a_reason(workers: None) -> None:
    with pytest.raises(CutoverRefusedError, match="Say why"):
        switch.change("payments", mode=Mode.LIVE, by="somebody", why=" ")


def test_change_from_what_it_is_no_more_is_refused(go: Switch) -> None:
    go("payments", "live", 10)

    with pytest.raises(CutoverRefusedError, match="is now live 10 %, not inline"):
        switch.change("payments", mode=Mode.LIVE, percent=50, by="b", why="w", expected=Setting(Mode.INLINE))


def test_higher_percentage_only_adds_flows(go: Switch) -> None:
    flows = [f"order-{number}" for number in range(300)]

    def live() -> set[str]:
        return {flow for flow in flows if switch.stamp(flow).mode("payments") is Mode.LIVE}

    taken = []
    for percent in (10, 20, 60, 100):
        go("payments", "live", percent)
        taken.append(live())

    assert all(fewer < more for fewer, more in itertools.pairwise(taken))
    assert taken[-1] == set(flows)
    assert 10 <= len(taken[0]) <= 60


def test_flow_goes_on_as_it_began(go: Switch, draft: Draft) -> None:
    order = operations.place_order(order=draft())
    began = OutboxEvent.objects.earliest("pk").body["cutover"]

    go("payments", "live", 99)

    assert str(switch.stamp(str(order.pk))) == began
    assert switch.stamp("another").mode("payments") is Mode.LIVE


def test_what_is_live_for_all_flows_is_live_for_those_that_began_before(go: Switch, draft: Draft) -> None:
    order = operations.place_order(order=draft())

    go("payments", "live")

    assert str(switch.stamp(str(order.pk))) == "inventory=inline orders=inline shipping=inline"


def test_flow_that_is_live_everywhere_bears_no_stamp(go: Switch, draft: Draft) -> None:
    for context in CONTEXTS:
        go(context, "live")

    operations.place_order(order=draft())

    assert "cutover" not in OutboxEvent.objects.get().body
