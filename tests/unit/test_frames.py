"""The frames that the relay assembles are those that py-amqp would have sent."""

import struct
from types import SimpleNamespace
from uuid import UUID

import amqp
import pytest
from amqp import serialization, spec
from amqp.method_framing import frame_writer

from microworkflows.relay import frames

ID = UUID("01a20bc1-d5dc-7c31-9558-946b116b223e")
FRAME_MAX = 4096


def ours(
    body: str,
    *,
    routing_key: str = "probe.asked.v1",
    headers: dict[str, int | str] | None = None,
    user_id: str = "",
) -> bytes:
    publish = frames.publish(
        channel=3, exchange="events", content_type="text/plain", frame_max=FRAME_MAX, user_id=user_id
    )
    return publish(body=body, routing_key=routing_key, message_id=ID, headers=headers or {})


def theirs(body: str, **properties: str) -> bytes:
    written: list[bytes] = []
    connection = SimpleNamespace(frame_max=FRAME_MAX, bytes_sent=0)
    write = frame_writer(connection, SimpleNamespace(write=lambda data: written.append(bytes(data))))
    message = amqp.Message(
        body,
        content_type="text/plain",
        content_encoding="utf-8",
        application_headers={},
        delivery_mode=2,
        message_id=str(ID),
        **properties,
    )
    arguments = serialization.dumps("Bssbb", (0, "events", "probe.asked.v1", True, False))
    write(1, 3, spec.Basic.Publish, arguments, message)
    return b"".join(written)


@pytest.mark.parametrize("body", ["", "{}", "für alle ✓", "x" * 4088, "x" * 4089, "✓" * 9000])
def test_frames_are_those_of_py_amqp(body: str) -> None:
    assert ours(body) == theirs(body)


def test_user_is_named_as_by_py_amqp() -> None:
    assert ours("{}", user_id="orders") == theirs("{}", user_id="orders")


def test_headers_can_be_read_again() -> None:
    headers: dict[str, int | str] = {
        "microworkflows-attempt": 7,
        "microworkflows-label": "desk.prüfe_brief",
    }
    with_header, without = ours("{}", headers=headers), ours("{}")

    at = without.index(
        struct.pack(">I", 0) + b"\x02$"
    )  # the empty table, delivery mode 2, an id of 36 letters
    (length,) = struct.unpack_from(">I", with_header, at)
    (table,), _ = serialization.loads("F", with_header[at : at + 4 + length], 0)
    assert table == headers


def test_routing_key_too_long_for_amqp_is_refused_with_a_clear_error() -> None:
    with pytest.raises(ValueError, match="300 bytes long; AMQP 0-9-1 allows names of 255"):
        ours("{}", routing_key="k" * 300)
