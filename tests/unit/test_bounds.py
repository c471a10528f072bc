"""What the door lets in: every CloudEvent that can be stored and shown, and nothing else; so judges the SDK, too."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from microworkflows import bounds, inbox, outbox
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import InvalidCloudEventError, UnrecordableEventError
from microworkflows.events import DomainEvent
from microworkflows.models import InboxEvent, OutboxEvent
from orders.events import OrderAccepted
from tests.fuzzing import door

EVENT = {"specversion": "1.0", "id": "1", "source": "/tills/7", "type": "tills.closed.v1", "data": {}}


def nested(depth: int) -> dict[str, Any]:
    """Return data that nests so many lists."""
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return {"deep": value}


def text(**attributes: Any) -> str:
    return json.dumps({**EVENT, **attributes})


def raw(data: str) -> str:
    """Return the text of an event whose data has one field, written as given."""
    return text(data={"field": "@@"}).replace('"@@"', data)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (text(data=nested(62)), None),
        (text(data=nested(63)), "It nests objects and lists more than 64 deep"),
        (text(data=nested(500)), "not JSON: recursion limit"),
        (text(data={"wide": [[]] * 1000}), None),
        (raw("NaN"), "not JSON"),
        (raw("Infinity"), "not JSON"),
        (raw("1e400"), "data.field is a number beyond the range"),
        (raw("-1E+0400"), "data.field is a number beyond the range"),
        (raw("1" * 310 + ".0"), "data.field is a number beyond the range"),
        (raw("9" * 250 + "e99"), "data.field is a number beyond the range"),
        (raw("1e100"), None),
        (
            '{"specversion":"1.0","id":"1","source":"/t","type":"t","data":{"a":[0,1e400]}}',
            "data.a.1 is a number",
        ),
        (
            '{"specversion":"1.0","id":"1","source":"/t","type":"t","data":{"a":\n-12.5E309}}',
            "data.a is a number",
        ),
        (raw("1" * 400), None),
        (raw("9" * 5000), "not JSON: number out of range"),
        (raw('"\\u0000"'), r"data.field holds U\+0000"),
        (raw('"\\\\u0000"'), None),
        (raw('{"\\u0000": 1}'), r"data.field.\(a name\) holds U\+0000"),
        (raw('["a", "\\ud800"]'), "not JSON"),
        (raw('"\\ud83d\\ude00"'), None),
        (text(data={"x" * 900_000 + "\n": ["\x00"] + [1] * 9_000}), r"data.xxxxx.+xxx\\n.0 holds U\+0000"),
        (raw("'x'"), "not JSON"),
        (text() + " {}", "not JSON: trailing"),
        ("\ufeff" + text(), "not JSON"),
        (text(id="x" * 255), None),
        (text(id="é" * 256), "id has 256 characters"),
        (text(type="t" * 256), "type has 256 characters"),
        (text(correlationid="c" * 4000), "correlationid has 4,000 characters; at most 255"),
        (text(causationid="c" * 256), "causationid has 256"),
        (text(source="/" + "s" * 2048), "source has 2,049"),
        (text(subject="s" * 2049), "subject has 2,049"),
        (text(source="/tills seven"), "source is '/tills seven'; it consists of visible ASCII"),
        (text(type="tills.\nclosed"), r"type is 'tills.\\nclosed'"),
        (text(correlationid="a\nb"), r"correlationid holds U\+000A"),
        (text(correlationid="\x1b[31m"), r"correlationid holds U\+001B"),
        (text(id="\x85"), r"id holds U\+0085"),
        (text(id="\ufdd0"), r"id holds U\+FDD0"),
        (text(id="\U0010ffff"), r"id holds U\+10FFFF"),
        (text(id="Zoë ☕ 7"), None),
        (text(**{f"x{n}": n for n in range(64)}), None),
        (text(**{f"x{n}": n for n in range(65)}), "65 extension attributes; at most 64"),
        (raw(f"[{'1e308,' * 4_000}1]"), "numbers have 1,232,000 digits when they are written out"),
        (raw(f"[{'1e-300,' * 4_000}1]"), "numbers have 1,200,000 digits when they are written out"),
        (text(Tenant="north"), "'Tenant' names an attribute; CloudEvents 1.0 allows lower-case"),
        (text(**{"x" * 65: 1}), "names an attribute"),
        (text(tenant=["north"]), "tenant is list; an attribute is"),
        (text(tenant=1.5), "tenant is float"),
        (text(tenant=True), None),
        (text(data=None, data_base64="AA=="), "data is data_base64, binary"),
        (text(datacontenttype=None), None),
        (text(datacontenttype="application/vnd.till+JSON; charset=utf-8"), None),
        (text(datacontenttype="application/ndjson"), "payloads are JSON"),
        (text(time="2026-01-02T03:04:05Z"), None),
        (text(time="2026-01-02t03:04:05.5z"), None),
        (text(time="2026-01-02T03:04:05.123456789+05:30"), None),
        (text(time="2016-12-31T23:59:60Z"), None),
        (text(time="2017-01-01T05:29:60.25+05:30"), None),
        (text(time="2016-12-31T22:59:60Z"), "a leap second is the last one of a month"),
        (text(time="2016-12-30T23:59:60Z"), "a leap second is the last one of a month"),
        (text(time="2026-W01-1T00:00:00Z"), "RFC 3339"),
        (text(time="20260102T030405Z"), "RFC 3339"),
        (text(time="2026-01-02 03:04:05Z"), "RFC 3339"),
        (text(time="2026-01-02T24:00:00Z"), "RFC 3339"),
        (text(time="2026-01-02T03:04:05,5Z"), "RFC 3339"),
        (text(time="2026-01-02T03:04:05+05"), "RFC 3339"),
        (text(time="٢٠٢٦-01-02T03:04:05Z"), "RFC 3339"),
        (text(time="2026-02-30T03:04:05Z"), "day is out of range"),
        (text(time="0001-01-01T00:00:00+14:00"), "time is '0001"),
        (text(time="9999-12-31T23:59:60Z"), "time is '9999"),
    ],
)
def test_message_is_let_in_or_refused_with_the_reason(message: str, reason: str | None) -> None:
    if reason is None:
        event = CloudEvent.from_json(message)
        assert CloudEvent.from_json(json.dumps(event.to_dict())) == event
        return
    with pytest.raises(InvalidCloudEventError, match=reason) as refused:
        CloudEvent.from_json(message.encode("utf-8", "surrogatepass"))
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_leap_second_is_read_as_the_next() -> None:
    event = CloudEvent.from_json(text(time="2016-12-31T23:59:60.5Z"))

    assert event.meta.time == datetime(2017, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)


def test_size_is_limited_by_a_setting(settings: Settings) -> None:
    message = text(data={"field": "x" * 2_000_000})
    with pytest.raises(InvalidCloudEventError, match="at most 1,048,576 are allowed"):
        CloudEvent.from_json(message)

    settings.MICROWORKFLOWS = {"MAX_EVENT_BYTES": 3_000_000}

    assert len(CloudEvent.from_json(message).data["field"]) == 2_000_000


@pytest.mark.django_db(transaction=True)
def test_event_that_is_too_large_is_refused_by_type_size_and_largest_field(
    empty_registry: None, settings: Settings
) -> None:
    class Scanned(DomainEvent, type="tills.scanned.v1"):
        number: int
        pages: dict[str, str]

    settings.MICROWORKFLOWS = {"MAX_EVENT_BYTES": 10_000}
    with pytest.raises(UnrecordableEventError) as refused, transaction.atomic():
        outbox.record(Scanned(number=1, pages={"front": "x" * 20_000, "back": "y"}))
    with (
        pytest.raises(UnrecordableEventError, match=r"Most of it is data\.pages, with"),
        transaction.atomic(),
    ):
        outbox.record(Scanned(number=1, pages={str(page): "x" * 2_000 for page in range(10)}))

    said = str(refused.value)
    assert re.match(
        r"tills\.scanned\.v1 cannot be recorded: The event has 20,\d{3} bytes; at most 10,000 are", said
    )
    assert "Most of it is data.pages.front, with 20,002 bytes. Put what is large elsewhere" in said
    assert not OutboxEvent.objects.exists()


# The SDK as oracle

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20)
TIMES = st.datetimes(
    timezones=st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    min_value=datetime(2, 1, 1),  # noqa: DTZ001  (the strategy adds the zone)
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
).map(datetime.isoformat)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "specversion": st.sampled_from(["1.0", "1.0", "1.0", "0.3", "", 1]),
        "id": NAMES | st.integers() | st.just("7"),
        "source": st.sampled_from(["/tills", "https://tills.example/?q=1#x", "", 7]),
        "type": st.sampled_from(["tills.closed.v1", "com.example/closed", "", ["x"]]),
        "time": TIMES | st.sampled_from(["yesterday", "2026-01-02T03:04:05", "", 7]),
        "datacontenttype": st.sampled_from(["application/json", "application/x+json", "text/json", "", 7]),
        "subject": NAMES.filter(bool),
        "tenant": NAMES | st.integers() | st.booleans(),
        "Bad-Name": NAMES,
    },
)


def read(message: str) -> CloudEvent | None:
    with suppress(InvalidCloudEventError):
        return CloudEvent.from_json(message)
    return None


def sdk_reads(message: str) -> SdkEvent | None:
    try:
        event = JSONFormat().read(SdkEvent, message)
    except (CloudEventValidationError, ValueError, TypeError, AttributeError):
        return None
    assert isinstance(event, SdkEvent)
    return event


@given(ENVELOPES, st.dictionaries(NAMES, JSON, max_size=4))
def test_envelope_is_read_if_and_only_if_the_sdk_reads_it(
    envelope: dict[str, Any], data: dict[str, Any]
) -> None:
    message = json.dumps({**EVENT, **envelope, "data": data})
    theirs = sdk_reads(message)

    ours = read(message)

    assert (ours is None) == (theirs is None)
    if ours is None or theirs is None:
        return
    assert (ours.meta.original_id, ours.meta.source, ours.meta.type) == (
        *(theirs.get_id(), theirs.get_source(), theirs.get_type()),
    )
    assert ours.data == theirs.get_data() == data
    if "time" in envelope:
        assert ours.meta.time == theirs.get_time()


@pytest.mark.parametrize("path", sorted(door.CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_a_fuzzer_found_is_read_or_refused(path: Path) -> None:
    door.must_hold(path.read_bytes())


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    with suppress(InvalidCloudEventError):
        bounds.parse(message)


# Identity

UUID_TEXT = "01a2163f-2dfb-70e1-b45f-d5e65eaea240"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("/a", UUID_TEXT), ("/b", UUID_TEXT)),
        (("/a", UUID_TEXT), ("/a", UUID_TEXT.upper())),
        (("/a#b", "c"), ("/a", "b#c")),
        (("/tills", UUID_TEXT), ("/desks", UUID_TEXT)),
    ],
)
def test_events_of_two_pairs_of_source_and_id_are_two_events(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    events = [CloudEvent.from_json(text(source=source, id=raw_id)) for source, raw_id in (first, second)]

    assert len({event.meta.id for event in events}) == 2
    assert [CloudEvent.from_dict(event.to_dict()) for event in events] == events


def test_id_of_a_contexts_own_event_is_its_uuid() -> None:
    own = CloudEvent.from_json(text(source="/tills", id=UUID_TEXT))

    assert (str(own.meta.id), own.meta.original_id) == (UUID_TEXT, None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("raw_id", "kept_as"), [(UUID_TEXT, UUID_TEXT), ("7", "6b2f2d2c-0d7e-5b52-9fb0-1b4f4f3b7b55")]
)
def test_event_that_kit_0_1_kept_under_another_id_is_known(raw_id: str, kept_as: str) -> None:
    foreign = {**EVENT, "source": "https://erp.example/#7", "type": OrderAccepted.event_type}
    inbox.receive({**foreign, "id": raw_id}, queue="shipping")
    received = InboxEvent.objects.get()
    former = CloudEvent.from_dict({**foreign, "id": raw_id}).meta.former_id
    body = {**received.body, "id": str(former)}
    InboxEvent.objects.update(msg_id=f"{received.label}:{former}", body=body)

    inbox.receive({**foreign, "id": raw_id}, queue="shipping")  # as its producer sends it again
    inbox.receive(body, queue="shipping")  # as a relay brings it back

    assert InboxEvent.objects.count() == 1
    assert received.body["id"] == raw_id


# Recording


class Noted(DomainEvent):
    """No type, so that nobody announces it; each test gives it one."""

    note: Any
    event_type = "tills.noted.v1"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("\x00", r"data.note holds U\+0000"),
        ("\ud800", r"data.note holds U\+D800"),
        (["fine", {"inner": "\x00"}], r"data.note.1.inner holds U\+0000"),
        (float("nan"), "data.note is a number beyond the range"),
        (float("-inf"), "data.note is a number beyond the range"),
        (nested(63), "It nests objects and lists more than 64 deep"),
        ("x" * 1_048_576, "at most 1,048,576 are allowed"),
    ],
)
def test_what_could_not_be_stored_or_read_is_refused_where_it_is_recorded(note: Any, reason: str) -> None:
    with transaction.atomic():
        with pytest.raises(
            UnrecordableEventError, match=f"(?s)tills.noted.v1 cannot be recorded: .*{reason}"
        ):
            outbox.record(Noted(note=note))
        assert not connection.needs_rollback

    assert not OutboxEvent.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(("flow", "reason"), [("x" * 256, "256 characters"), ("a\nb", r"U\+000A")])
def test_correlation_id_beyond_the_bounds_is_refused_where_it_is_recorded(flow: str, reason: str) -> None:
    with (
        transaction.atomic(),
        pytest.raises(UnrecordableEventError, match=f"cannot be recorded: correlationid .*{reason}"),
    ):
        outbox.record(Noted(note=1), correlation_id=flow)


def test_event_type_is_as_short_as_a_routing_key() -> None:
    with pytest.raises(TypeError, match="at most 255 characters"):
        type("Long", (DomainEvent,), {}, type=f"tills.{'x' * 250}.v1")
