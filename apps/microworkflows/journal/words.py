"""Numbers and times in words for the journal's pictures and tables; what is unknown is called so."""

from datetime import datetime, timedelta
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import times
from microworkflows.journeys import human_duration

UNKNOWN: Final = _("unknown")


def number(count: float | None, *, more: bool = False) -> str:
    """Return a count such as ``12 400``; with ``more``, ``over 5 000``."""
    if count is None:
        return str(UNKNOWN)
    text = f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return gettext("over %(number)s") % {"number": text} if more and count else text


def rate(count: int | None, minutes: float) -> str:
    """Return how often something happened, in the unit in which that is a number: ``12.4/min``, ``3/h``, ``2/day``."""
    if count is None:
        return str(UNKNOWN)
    for unit, length in (("min", 1), ("h", 60), (gettext("day"), 60 * 24)):
        often = count / minutes * length
        if often >= 1 or length == 60 * 24 or not count:
            return f"{often:.0f}/{unit}" if often >= 100 or often == int(often) else f"{often:.2g}/{unit}"
    raise AssertionError


def share(part: int, whole: int) -> str:
    """Return a share in per cent; what is little is not nothing."""
    percent = 100 * part / whole if whole else 0
    if 0 < percent < 1:
        return gettext("under %(share)s") % {"share": "1\N{NARROW NO-BREAK SPACE}%"}
    if 99 < percent < 100:
        return gettext("over %(share)s") % {"share": "99\N{NARROW NO-BREAK SPACE}%"}
    return f"{percent:.0f}\N{NARROW NO-BREAK SPACE}%"


def seconds(duration: float | None) -> str:
    """Return a duration in seconds for people."""
    return str(UNKNOWN) if duration is None else human_duration(timedelta(seconds=duration))


def shortened(text: str, most: int) -> str:
    """Return a text that fits into a box."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def clock(time: datetime | None, now: datetime) -> str:
    """Return a local time of day for people, with the date if that is not today's."""
    if time is None:
        return gettext("an unknown time")
    local = times.local(time)
    return f"{local:%H:%M:%S}" if local.date() == times.local(now).date() else f"{local:%Y-%m-%d %H:%M}"
