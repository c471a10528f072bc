"""Two versions of one fact while the monolith does steps: inline, in shadow, and by code that does not know the newer one."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Q
from pytest_django import Settings

from microworkflows import DomainEvent, IncomingEvent, inbox, microworkflow, outbox, registry
from microworkflows.cutover import legacy_steps, switch
from microworkflows.cutover.models import ShadowComparison
from microworkflows.cutover.queries import _pairs
from microworkflows.cutover.stamps import MONOLITH, Mode
from microworkflows.cutover.switch import Setting
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def priced(empty_registry: None, settings: Settings) -> Iterator[SimpleNamespace]:
    settings.MICROWORKFLOWS = {"CUTOVER": ["letters", "desk"]}

    class Priced(DomainEvent, type="letters.priced.v1"):
        total: int

    class PricedV2(DomainEvent, type="letters.priced.v2", previous=Priced):
        net: int

        def to_previous(self) -> Priced:
            return Priced(total=self.net)

    class Read(IncomingEvent, type="letters.priced.v1"):
        total: int

    class ReadV2(IncomingEvent, type="letters.priced.v2", previous=Read):
        net: int

        @classmethod
        def from_previous(cls, previous: Read) -> "ReadV2":
            return cls(net=previous.total)

    calls: list[Any] = []

    @microworkflow(on=(Read, ReadV2), context="desk")
    def book(event: Any) -> None:
        calls.append(("new", event))

    with legacy_steps.isolated():
        yield SimpleNamespace(calls=calls, book=book, Read=Read, ReadV2=ReadV2, PricedV2=PricedV2)


def _record(priced: SimpleNamespace, mode: Mode) -> None:
    forced = {context: Setting(mode, 100 if mode is Mode.LIVE else None) for context in ("letters", "desk")}
    with switch.forced(forced), transaction.atomic():
        outbox.record(priced.PricedV2(net=7))


def test_inline_and_shadow_steps_are_done_once_for_both_versions(priced: SimpleNamespace, flow: Flow) -> None:
    _record(priced, Mode.INLINE)
    assert priced.calls == [("new", priced.ReadV2(net=7))]

    legacy_steps.legacy(priced.book)(lambda event: priced.calls.append(("legacy", event)))
    _record(priced, Mode.SHADOW)
    flow.run()

    assert [name for name, _ in priced.calls] == ["new", "new", "legacy"]
    assert ShadowComparison.objects.count() == 1
    assert InboxEvent.objects.count() == 2


def test_flow_of_either_version_waits_for_a_live_step_until_it_was_done(priced: SimpleNamespace) -> None:
    _record(priced, Mode.LIVE)
    newer, older = OutboxEvent.objects.order_by("pk")
    workflows = registry.workflows()

    waiting = list(_pairs(workflows, OutboxEvent.objects.all(), failed=Q(pk__in=[])))
    inbox.receive(older.body, queue="desk")

    assert len(set(waiting)) == 1
    assert not list(_pairs(workflows, OutboxEvent.objects.all(), failed=Q(pk__in=[])))
    assert newer.event_id == older.pk


def test_monolith_of_older_code_leaves_the_newer_version_to_the_one_that_it_knows(
    priced: SimpleNamespace, flow: Flow
) -> None:
    _record(priced, Mode.LIVE)
    newer, older = OutboxEvent.objects.order_by("pk")
    registry._workflows.clear()
    registry._listening.clear()
    microworkflow(on=priced.Read, context="desk")(priced.book.function)  # older code

    body = {**newer.body, "causationid": str(older.pk)}  # of a live context: else its inline steps were done
    inbox.receive(body, queue=MONOLITH)
    (waiting,) = flow.waiting
    assert (waiting.label, waiting.event_id) == (MONOLITH, older.pk)
    inbox.receive(older.body, queue="desk")
    waiting.delete()
    inbox.receive(body, queue=MONOLITH, attempt=1)

    assert len(priced.calls) == 1
    assert [row.label for row in InboxEvent.objects.all()] == ["desk.book"]
