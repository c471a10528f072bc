"""The stamp: written and read the same way, and refused when it is none."""

import copy
import json
import pickle
from uuid import uuid4

import pytest
from django.utils import timezone

from microworkflows import flows, inbox
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover.stamps import UNSTAMPED, Mode, Stamp
from microworkflows.errors import InvalidCloudEventError, UnreadableMarkError
from microworkflows.models import InboxEvent
from microworkflows.relay import store

BODY = {
    "specversion": "1.0",
    "id": str(uuid4()),
    "source": "/orders",
    "type": "orders.order_accepted.v1",
    "data": {},
}


def test_stamp_names_those_whose_steps_the_monolith_does() -> None:
    stamp = Stamp.parse("inventory=inline payments=shadow")

    assert stamp.mode("inventory") is Mode.INLINE
    assert stamp.mode("payments") is Mode.SHADOW
    assert stamp.mode("shipping") is Mode.LIVE
    assert str(stamp) == "inventory=inline payments=shadow"


def test_without_a_stamp_everybody_is_live() -> None:
    event = CloudEvent.from_dict(BODY)

    assert event.meta.mark is None
    assert Stamp.parse(event.meta.mark) is UNSTAMPED
    assert UNSTAMPED.mode("payments") is Mode.LIVE
    assert "cutover" not in event.to_dict()


def test_stamp_of_what_is_done_leaves_nothing_to_anybody() -> None:
    stamp = Stamp.parse("done")

    assert stamp.mode("payments") is None
    assert str(stamp) == "done"


@pytest.mark.parametrize("name", ["microworkflowsmark", "cutover"])
def test_stamp_travels_in_the_event_for_workers_of_this_version_and_of_the_one_before(name: str) -> None:
    event = CloudEvent.from_dict({**BODY, name: "payments=inline"})

    mark = CloudEvent.from_dict(event.to_dict()).meta.mark
    assert Stamp.parse(mark) == Stamp.of({"payments": Mode.INLINE})
    assert event.to_dict()["cutover"] == event.to_dict()["microworkflowsmark"] == "payments=inline"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["microworkflowsmark", "cutover"])
@pytest.mark.parametrize("foreign", [{"source": "/tills"}, {"id": "no UUID"}])
def test_mark_of_an_event_that_no_context_announced_is_carried_and_not_believed(
    monolith: None, foreign: dict[str, str], name: str
) -> None:
    body = {**BODY, **foreign, name: "done"}

    assert CloudEvent.from_dict(body).meta.mark is None
    assert CloudEvent.from_dict(body).to_dict()[name] == "done"
    inbox.receive(body, queue="payments")

    assert InboxEvent.objects.count() == 1


NO_STAMPS = ["payments", "payments=live", "payments=inline  orders=inline", "payments=inline payments=shadow"]


@pytest.mark.parametrize("text", NO_STAMPS)
def test_text_of_another_form_is_not_read_as_a_stamp(text: str) -> None:
    with pytest.raises(UnreadableMarkError, match="not a stamp"):
        Stamp.parse(text)


@pytest.mark.parametrize("text", ["", 7])
def test_mark_that_is_no_text_is_refused_at_the_door(text: object) -> None:
    with pytest.raises(InvalidCloudEventError, match="microworkflowsmark"):
        CloudEvent.from_json(json.dumps({**BODY, "microworkflowsmark": text}))


@pytest.mark.django_db
@pytest.mark.parametrize("text", NO_STAMPS)
def test_message_whose_mark_is_no_stamp_is_parked_everywhere_and_costs_nobody_else_anything(
    monolith: None, text: str
) -> None:
    body = {**BODY, "id": str(uuid4()), "cutover": text}

    for queue in ("payments", "monolith"):
        inbox.receive(body, queue=queue)

    parked = InboxEvent.objects.parked()
    assert {row.label for row in parked} == {"payments.take_payment", "monolith"}
    assert parked.replay(by="clerk") == 2
    assert {
        message.routing_key for message in store.due_retries("payments", limit=9, now=timezone.now())
    } == {"payments"}
    assert flows.mode("payments", text) == "unknown"


def test_attributes_that_the_kit_does_not_know_are_kept() -> None:
    event = CloudEvent.from_dict({**BODY, "tenant": "north", "sequence": 7})

    assert event.extensions == {"tenant": "north", "sequence": 7}
    assert event.to_dict()["tenant"] == "north"


def test_event_can_be_copied_pickled_and_hashed() -> None:
    event = CloudEvent.from_dict({**BODY, "cutover": "payments=inline"})

    assert copy.deepcopy(event.meta) == pickle.loads(pickle.dumps(event.meta)) == event.meta
    assert hash(event.meta) == hash(copy.copy(event.meta))
