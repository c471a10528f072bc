"""The core and its guests: without one everything is live; a mark that nobody reads costs nothing but a wait."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from microworkflows import flows, inbox, journeys, outbox, purging, topology
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import UnreadableMarkError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow


@pytest.fixture
def no_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the core to itself."""
    monkeypatch.setattr(flows, "router", flows.Router())
    monkeypatch.setattr(flows, "_guests", [])


def _letter(mark: str | None) -> dict[str, Any]:
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/letters",
        "type": "letters.letter_written.v1",
        "correlationid": "a-flow",
        "data": {"letter_id": str(uuid4())},
    }
    return event if mark is None else {**event, "cutover": mark}


def test_without_a_guest_every_context_does_its_own_steps(no_guests: None, post: SimpleNamespace) -> None:
    assert flows.queue_for("desk", None) == topology.queue_for("desk", None) == "desk"
    assert topology.queues() == ["archive", "desk", "letters"]
    assert topology.contexts_served_by("desk") == ["desk"]
    assert flows.router.mark("a-flow") is None
    assert flows.purge(before=datetime.now(tz=UTC)) == {}


@pytest.mark.django_db
def test_mark_that_no_app_reads_parks_the_message_until_one_does(
    no_guests: None, post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = _letter("desk=inline")
    CloudEvent.from_json(json.dumps(letter))  # the door lets it in

    inbox.receive(letter, queue="desk")

    (row,) = InboxEvent.objects.all()
    assert (row.label, row.status, post.calls) == ("desk.stamp_letter", InboxEvent.Status.PARKED, [])
    assert row.error is not None
    assert "microworkflows.cutover" in row.error
    assert journeys.journey("a-flow").deliveries[0].mode == ""
    monkeypatch.setattr(flows.Router, "queue_for", lambda self, context, mark: context)
    InboxEvent.objects.parked().replay(by="clerk")
    Flow().retry()
    assert [name for name, _ in post.calls] == ["stamp_letter"]


@pytest.mark.django_db
def test_bundle_with_a_mark_that_no_app_reads_parks_that_message_alone(
    no_guests: None, post: SimpleNamespace
) -> None:
    inbox.receive_bundle([_letter(None), _letter("done"), _letter(None)], queue="desk")

    assert InboxEvent.objects.parked().count() == 1
    assert len(post.calls) == 2


class Guest(flows.Router):
    """Marks every flow, and leaves the desk's steps to a queue of its own."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def mark(self, correlation_id: str) -> str | None:
        return f"of {correlation_id}"

    def queue_for(self, context: str, mark: str) -> str | None:
        return "office" if context == "desk" else context

    def mode(self, context: str, mark: str) -> str:
        return "by the office" if context == "desk" else ""

    def queues(self) -> Sequence[str]:
        return ("office",)

    def contexts_served_by(self, queue: str) -> Sequence[str]:
        return ("desk",)

    def receive(
        self, event: CloudEvent, *, queue: str, attempt: int | None, label: str | None, last_delivery: bool
    ) -> None:
        self.heard.append((queue, event.meta.type, event.meta.mark))

    def recorded(self, events: Sequence[CloudEvent]) -> None:
        self.heard.append([event.meta.type for event in events])

    def before_task(self, name: str) -> None:
        self.heard.append(name)

    def purge(self, *, before: datetime) -> dict[str, int]:
        return {"notes": 3}


@pytest.fixture
def guest(no_guests: None) -> Guest:
    """A router is registered."""
    guest = Guest()
    flows.register(guest)
    return guest


@pytest.mark.django_db
def test_router_marks_flows_and_receives_what_comes_by_its_queue(guest: Guest, post: SimpleNamespace) -> None:
    with transaction.atomic():
        outbox.record(post.LetterWritten(letter_id=uuid4()), correlation_id="a-flow")

    Flow().run()

    (event,) = OutboxEvent.objects.all()
    assert event.body["cutover"] == "of a-flow"
    assert post.calls == [], "the desk's step is the office's"
    assert guest.heard == [
        ["letters.letter_written.v1"],
        ("office", "letters.letter_written.v1", "of a-flow"),
    ]
    (delivery,) = journeys.journey("a-flow").deliveries
    assert (delivery.label, delivery.mode) == ("desk.stamp_letter", "by the office")


@pytest.mark.django_db
def test_guest_is_told_of_tasks_and_of_purges(guest: Guest) -> None:
    flows.before_task("letters.print")

    assert guest.heard == ["letters.print"]
    assert purging.purge(now=datetime.now(tz=UTC)).guests == {"notes": 3}


def test_second_router_is_refused(guest: Guest) -> None:
    class Another(flows.Router):
        pass

    with pytest.raises(ValueError, match="Install one of the two apps"):
        flows.register(Another())


def test_router_that_registers_again_takes_its_own_place(guest: Guest) -> None:
    again = Guest()

    flows.register(again)
    flows.before_task("letters.print")

    assert flows.router is again
    assert (guest.heard, again.heard) == ([], ["letters.print"])


def test_guest_that_does_not_route_leaves_the_router_alone(guest: Guest) -> None:
    flows.register(flows.Guest())

    assert flows.router is guest


def test_default_router_reads_no_mark() -> None:
    with pytest.raises(UnreadableMarkError, match="'desk=inline'"):
        flows.Router().queue_for("desk", "desk=inline")
