"""A waterfall in a terminal: each line of a journey with its time as characters from left to right."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from microworkflows import texts
from microworkflows.journeys import human_duration
from microworkflows.overviews import Account, Span

_NARROWEST = 20


def rendered(account: Account, *, width: int, now: datetime) -> Iterator[str]:
    """Yield the lines of an account that fit a terminal of this width.

    Args:
        account: The journey.
        width: Columns of the terminal.
        now: End of what goes on still.
    """
    yield texts.line(f"{account.title}: {account.summary}")
    spans = [span for each in account.lines for span in each.spans]
    left = max((len(each.text) for each in account.lines), default=0)
    right = max((len(each.note) for each in account.lines), default=0)
    room = max(width - left - right - 4, _NARROWEST)
    began_at = min((span.began_at for span in spans), default=now)
    ended_at = max((span.ended_at or now for span in spans), default=now)
    length = max(ended_at - began_at, timedelta(milliseconds=1))
    for each in account.lines:
        drawn = _drawn(each.spans, began_at, length, now, room)
        yield texts.line(f"{each.text:<{left}}  {drawn}  {each.note}".rstrip())
    if spans:
        yield f"{'':<{left}}  {'└' + '─' * (room - 2) + '┘'}  {human_duration(length)}"
    yield from (texts.line(hint) for hint in account.hints)


def _drawn(spans: Sequence[Span], began_at: datetime, length: timedelta, now: datetime, room: int) -> str:
    row = [" "] * room
    for span in spans:
        first = min(math.floor(room * ((span.began_at - began_at) / length)), room - 1)
        last = max(math.ceil(room * (((span.ended_at or now) - began_at) / length)), first + 1)
        row[first:last] = [span.sign] * (min(last, room) - first)
    return "".join(row)
