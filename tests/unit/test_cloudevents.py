import json
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microworkflows import traceparent
from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.errors import InvalidCloudEventError

MINIMAL = {"specversion": "1.0", "id": "1", "source": "/tills/7", "type": "tills.closed.v1", "data": {}}


def test_every_attribute_survives_the_wire() -> None:
    event = CloudEvent(
        meta=Metadata(
            id=UUID(int=5),
            source="/orders",
            type="orders.order_accepted.v1",
            time=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
            correlation_id="order-9",
            causation_id=str(UUID(int=4)),
            traceparent=traceparent.new(),
        ),
        data={"order_id": "9", "name": "Zoë ☕"},
    )

    assert CloudEvent.from_json(json.dumps(event.to_dict())) == event


def test_wire_form_has_the_names_and_formats_of_cloudevents_1_0() -> None:
    meta = Metadata(
        id=UUID(int=5),
        source="/orders",
        type="orders.order_accepted.v1",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        correlation_id="c",
        causation_id=None,
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )

    assert CloudEvent(meta=meta, data={"a": 1}).to_dict() == {
        "specversion": "1.0",
        "id": "00000000-0000-0000-0000-000000000005",
        "source": "/orders",
        "type": "orders.order_accepted.v1",
        "time": "2026-01-02T00:00:00.000000Z",
        "datacontenttype": "application/json",
        "correlationid": "c",
        "traceparent": "00-11111111111111111111111111111111-2222222222222222-01",
        "data": {"a": 1},
    }


@pytest.mark.parametrize("hops", [-1, 1.0, "3", True, None])
def test_number_of_hops_is_believed_in_a_contexts_event_only(hops: object) -> None:
    own = {**MINIMAL, "id": str(UUID(int=5)), "source": "/orders", "type": "orders.order_accepted.v1"}

    assert CloudEvent.from_dict({**own, "microworkflowshops": 3}).meta.hops == 3
    foreign = CloudEvent.from_dict({**MINIMAL, "microworkflowshops": hops})
    assert foreign.meta.hops == 0
    assert foreign.extensions == ({} if hops is None else {"microworkflowshops": hops})
    if hops is None:
        assert CloudEvent.from_dict({**own, "microworkflowshops": hops}).meta.hops == 0
    else:
        with pytest.raises(
            InvalidCloudEventError, match=r"microworkflowshops is .*; it must be a number of events"
        ):
            CloudEvent.from_dict({**own, "microworkflowshops": hops})


def test_time_as_of_which_an_event_is_true_is_believed_in_a_contexts_event_only() -> None:
    own = {**MINIMAL, "id": str(UUID(int=5)), "source": "/orders", "type": "orders.order_accepted.v1"}
    stamp = {"microworkflowsasof": "2020-02-03T04:05:06.000000Z"}

    event = CloudEvent.from_dict({**own, **stamp})

    assert event.meta.as_of == datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert event.to_dict().items() >= stamp.items()
    foreign = CloudEvent.from_dict({**MINIMAL, **stamp})
    assert (foreign.meta.as_of, foreign.extensions) == (None, stamp)
    with pytest.raises(InvalidCloudEventError, match="microworkflowsasof is '2020'"):
        CloudEvent.from_dict({**own, "microworkflowsasof": "2020"})


def test_event_of_a_foreign_producer_needs_only_what_the_standard_requires() -> None:
    event = CloudEvent.from_dict(MINIMAL)

    assert event.meta.id == uuid5(NAMESPACE_URL, "/tills/7#1")
    assert event.meta.correlation_id == str(event.meta.id)
    assert event.meta.causation_id is None
    assert traceparent.is_valid(event.meta.traceparent)


def test_time_with_an_offset_becomes_utc() -> None:
    event = CloudEvent.from_dict({**MINIMAL, "time": "2026-01-02T03:00:00+02:00"})

    assert event.meta.time == datetime(2026, 1, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"specversion": "0.3"}, "specversion is '0.3'"),
        ({"specversion": None}, "specversion is None"),
        ({"id": ""}, "id is ''"),
        ({"id": 7}, "id is 7"),
        ({"source": None}, "source is None"),
        ({"type": None}, "type is None"),
        ({"time": "yesterday"}, "RFC 3339"),
        ({"time": "2026-01-02T03:00:00"}, "RFC 3339"),
        ({"data": [1]}, "data is list"),
        ({"data": None}, "data is NoneType"),
        ({"datacontenttype": "text/xml"}, "payloads are JSON"),
        ({"datacontenttype": 5}, "payloads are JSON"),
        ({"correlationid": 5}, "correlationid is 5"),
    ],
)
def test_what_is_no_cloudevent_is_refused_with_the_reason(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidCloudEventError, match=complaint):
        CloudEvent.from_dict({**MINIMAL, **change})


@pytest.mark.parametrize("raw", ["", "{", b"\xff\xfe", "[]", "null", "5"])
def test_what_is_no_json_object_is_refused(raw: str | bytes) -> None:
    with pytest.raises(InvalidCloudEventError):
        CloudEvent.from_json(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_any_json_is_read_or_refused_and_never_crashes(body: Any) -> None:
    for candidate in (body, {**MINIMAL, "data": body}, {**MINIMAL, "time": body, "id": body}):
        try:
            event = CloudEvent.from_dict(candidate)
        except InvalidCloudEventError:
            continue
        assert CloudEvent.from_dict(event.to_dict()) == event
