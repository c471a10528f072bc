"""The stamp: written and read the same way, and refused when it is none."""

import copy
import json
import pickle

import pytest

from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover.stamps import UNSTAMPED, Mode, Stamp
from microworkflows.errors import InvalidCloudEventError
from microworkflows.worker import serializer

BODY = {"specversion": "1.0", "id": "1", "source": "/orders", "type": "orders.order_accepted.v1", "data": {}}


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


def test_stamp_travels_in_the_event() -> None:
    event = CloudEvent.from_dict({**BODY, "cutover": "payments=inline"})

    mark = CloudEvent.from_dict(event.to_dict()).meta.mark
    assert Stamp.parse(mark) == Stamp.of({"payments": Mode.INLINE})


@pytest.mark.parametrize(
    "text",
    ["", "payments", "payments=live", "payments=inline  orders=inline", "payments=inline payments=shadow", 7],
)
def test_what_is_no_stamp_is_refused_at_the_door(text: object) -> None:
    with pytest.raises(InvalidCloudEventError, match="cutover"):
        serializer.decode(json.dumps({**BODY, "cutover": text}))


def test_attributes_that_the_kit_does_not_know_are_kept() -> None:
    event = CloudEvent.from_dict({**BODY, "tenant": "north", "sequence": 7})

    assert event.extensions == {"tenant": "north", "sequence": 7}
    assert event.to_dict()["tenant"] == "north"


def test_event_can_be_copied_pickled_and_hashed() -> None:
    event = CloudEvent.from_dict({**BODY, "cutover": "payments=inline"})

    assert copy.deepcopy(event.meta) == pickle.loads(pickle.dumps(event.meta)) == event.meta
    assert hash(event.meta) == hash(copy.copy(event.meta))
