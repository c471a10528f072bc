"""Event ids: UUID version 7 (RFC 9562), so that the order of ids is the order in which events were recorded."""

import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_lock = threading.Lock()
_last = 0


def uuid7() -> UUID:
    """Return a new UUIDv7, which sorts after every one that this process made before.

    It holds 48 bits of Unix time in milliseconds, 12 bits of the millisecond's fraction (RFC 9562, section 6.2,
    method 3), and 62 random bits. Time and fraction together only grow, even when the clock steps back.
    """
    global _last
    nanoseconds = time.time_ns()
    ticks = (nanoseconds // 1_000_000 << 12) | ((nanoseconds % 1_000_000 << 12) // 1_000_000)
    with _lock:
        _last = ticks = max(ticks, _last + 1)
    return _of(ticks)


def uuid7_at(time: datetime) -> UUID:
    """Return a new UUIDv7 of a time of its own, such as one to come; the order of those of one time is open."""
    microseconds = (time - _EPOCH) // timedelta(microseconds=1)
    return _of((microseconds // 1_000 << 12) | ((microseconds % 1_000 << 12) // 1_000))


def lowest(time: datetime) -> UUID:
    """Return the UUID that no UUIDv7 of this time or later is less than."""
    return UUID(int=int(time.timestamp() * 1000) << 80)


def timestamp(uuid: UUID) -> datetime:
    """Return the time of a UUIDv7, to the millisecond.

    Raises:
        ValueError: ``uuid`` is of another version.
    """
    if uuid.version != 7:
        raise ValueError(f"{uuid} is not a UUIDv7, so it holds no time in milliseconds.")
    return datetime.fromtimestamp((uuid.int >> 80) / 1000, tz=UTC)


def _of(ticks: int) -> UUID:
    value = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)
