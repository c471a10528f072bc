"""A suite in a mode: which steps were left to a worker and when, and the verdict on what fails."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import transaction
from django.test import TestCase
from pytest_django import DjangoAssertNumQueries

from microworkflows.cutover import legacy_steps, shadow
from microworkflows.cutover.suite import baseline, running, verdict, ways
from microworkflows.cutover.suite.baseline import Baseline, BaselineError, Outcome
from microworkflows.cutover.suite.running import Step, WayRefusedError
from microworkflows.cutover.suite.verdict import Seen
from microworkflows.cutover.suite.ways import Way
from microworkflows.models import InboxEvent, OutboxEvent
from orders import operations
from orders.events import OrderAccepted
from orders.models import Order
from payments.models import Payment
from payments.workflows import take_payment
from tests.unit.shop.conftest import Draft
from tests.unit.shop.test_ways import ending

PAYING = Step("payments", "withheld", "payments.take_payment", "orders.order_accepted.v1")
TOLD = PAYING.as_dict()


def test_withheld_step_has_not_run_and_is_noted(monolith: None, draft: Draft) -> None:
    noted: list[Step] = []

    with running.taking_part({"payments": Way.WITHHELD}, noted.append):
        order = operations.place_order(order=draft())

    assert ending(order) == "accepted"
    assert noted == [PAYING]


def test_live_steps_run_after_the_commit_and_those_inline_that_follow(monolith: None, draft: Draft) -> None:
    noted: list[Step] = []

    with running.taking_part({"payments": Way.LIVE}, noted.append):
        order, seen = draft(), []
        with transaction.atomic():
            operations.place_order(order=order)
            seen.append(Payment.objects.count())
        seen.append(Payment.objects.count())

    assert seen == [0, 1]
    assert ending(order) == "shipped"
    assert [step.workflow for step in noted] == ["payments.take_payment"]
    assert InboxEvent.objects.exclude(status=InboxEvent.Status.HANDLED).count() == 0


@pytest.mark.django_db(transaction=True)
def test_live_steps_run_after_a_real_commit_too(monolith: None, draft: Draft) -> None:
    noted: list[Step] = []

    with running.taking_part({"payments": Way.LIVE, "inventory": Way.LIVE}, noted.append):
        order = operations.place_order(order=draft())

    assert ending(order) == "shipped"
    assert [step.workflow for step in noted] == [
        *("inventory.note_order", "payments.take_payment"),
        *("inventory.reserve_items", "inventory.issue_items"),
    ]


def test_event_that_is_rolled_back_is_left_to_nobody(monolith: None, draft: Draft) -> None:
    noted: list[Step] = []
    order = draft()

    def place_and_regret() -> None:
        with transaction.atomic():
            operations.place_order(order=Order.objects.get(pk=order.pk))
            raise ValueError("I changed my mind")

    with running.taking_part({"payments": Way.WITHHELD}, noted.append):
        with transaction.atomic(), pytest.raises(ValueError, match="my mind"):
            place_and_regret()
        with pytest.raises(ValueError, match="my mind"):
            place_and_regret()

    assert noted == []
    assert not OutboxEvent.objects.exists()


def test_hooks_and_statements_of_deliveries_are_not_the_requests(
    monolith: None, draft: Draft, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    def place(way: Way) -> tuple[int, int]:
        """Return the numbers of statements and hooks that a request's test would count."""
        with (
            running.taking_part({"payments": way}, lambda step: None),
            django_assert_max_num_queries(1000) as counted,
            TestCase.captureOnCommitCallbacks() as hooks,
        ):
            operations.place_order(order=orders.pop())
        return len(counted.captured_queries), len(hooks)

    orders = [draft(), draft(), draft()]
    place(Way.WITHHELD)  # the first event of a transaction has a hook that the others do without
    withheld, live = place(Way.WITHHELD), place(Way.LIVE)

    assert live == withheld
    assert Payment.objects.count() == 1


def test_failure_of_a_delivery_is_the_steps_and_not_the_requests(monolith: None, draft: Draft) -> None:
    noted: list[Step] = []

    with running.taking_part({"payments": Way.LIVE}, noted.append):
        order = operations.place_order(order=draft(payment_token="tok_slow_bank"))

    assert ending(order) == "accepted"
    step, failure = noted
    assert (step.wrong, failure.workflow) == ("", "payments.take_payment")
    assert "GatewayUnavailableError" in failure.wrong


def test_comparison_that_differs_is_noted(monolith: None, draft: Draft) -> None:
    noted: list[Step] = []

    @legacy_steps.legacy(take_payment)
    def charge_nobody(event: OrderAccepted) -> None:
        assert not shadow.in_shadow()

    with running.taking_part({"payments": Way.SHADOW}, noted.append):
        operations.place_order(order=draft())

    assert [bool(step.wrong) for step in noted] == [True, False]
    assert "in shadow" in noted[0].wrong


def test_mode_that_cannot_apply_is_refused(monolith: None) -> None:
    for context, way, reason in (
        ("billing", Way.LIVE, "is not being cut over"),
        ("payments", Way.SHADOW, "no legacy step"),
    ):
        with pytest.raises(WayRefusedError, match=reason):
            running.refuse({context: way})
    running.refuse({"payments": Way.WITHHELD, "inventory": Way.LIVE})


def test_modes_are_read() -> None:
    assert ways.parse(["payments=live", "inventory=withheld"]) == {
        "payments": Way.LIVE,
        "inventory": Way.WITHHELD,
    }
    for wrong in (["payments"], ["=live"], ["payments=later"], ["payments=live", "payments=inline"]):
        with pytest.raises(ValueError, match="--mode"):
            ways.parse(wrong)


# The verdict


def before(**outcomes: Outcome) -> Baseline:
    return Baseline(written_at=datetime.now(UTC), outcomes=outcomes)


def test_only_what_fails_newly_speaks_against_a_mode() -> None:
    seen = Seen(
        {"a": "failed", "b": "failed", "c": "passed", "d": "passed", "e": "skipped"},
        steps={"a": [TOLD], "d": [TOLD]},
    )

    found = verdict.compare(
        seen,
        before(a="passed", b="failed", c="failed", d="passed", e="passed", f="passed"),
        contexts=["payments"],
    )

    assert (found.newly_failing, found.newly_passing, found.failing_anyway) == (("a",), ("c",), ("b",))
    assert found.not_comparable == ("e", "f")
    assert not found.is_clear
    said = "\n".join(verdict.lines(found, seen))
    assert "  payments.take_payment on orders.order_accepted.v1 had not run\n      a\n" in said


def test_test_that_fails_and_was_never_seen_inline_is_perhaps_new() -> None:
    seen = Seen({"a": "failed", "b": "passed"}, steps={"b": [TOLD]})

    found = verdict.compare(seen, before(b="passed"), contexts=["payments"])

    assert found.failing_unknown == ("a",)
    assert not found.is_clear


def test_passing_test_whose_step_failed_is_told() -> None:
    failed = Step("payments", "live", "payments.take_payment", "orders.order_accepted.v1", "Oops").as_dict()
    seen = Seen({"C::a": "passed"}, shared={"C": [TOLD, failed]})

    found = verdict.compare(seen, before(), contexts=["payments"])

    assert found.wrong_steps == ("C::a",)
    assert not found.is_clear
    assert any("failed: Oops" in line for line in verdict.lines(found, seen))


def test_context_that_no_test_triggered_is_not_proven() -> None:
    seen = Seen({"a": "passed"}, steps={"a": [TOLD]})

    found = verdict.compare(seen, before(a="passed"), contexts=["payments", "shipping"])

    assert found.proves_nothing
    said = "\n".join(verdict.lines(found, seen))
    assert "PROVES NOTHING for shipping" in said
    assert "Nothing is new" not in said


def test_baseline_that_is_none_is_told_apart_from_one_without_failures(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    with pytest.raises(BaselineError, match="There is no baseline"):
        baseline.read(path)
    for text in ("", "[]", '{"format": 2}', '{"outcomes": {"a": "late"}}'):
        path.write_text(text)
        with pytest.raises(BaselineError, match="is no baseline"):
            baseline.read(path)

    baseline.write(path, {"a": "failed"})

    assert baseline.read(path).outcomes == {"a": "failed"}
