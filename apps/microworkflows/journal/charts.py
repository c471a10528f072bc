"""Bars for pictures: rectangles in a box of 1,000 by 100 that the page stretches to the width it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.dateformat import format as date_format
from django.utils.translation import gettext as _

from microworkflows import times
from microworkflows.journal import words
from microworkflows.journal.business import Bar, Business, Series, Stage

_GAP = 0.15


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """One bar."""

    x: float
    y: float
    width: float
    height: float
    tip: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A series as a strip of bars; its highest bar fills it."""

    name: str
    total: int
    most: int
    bars: tuple[Rectangle, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table with a bar in it."""

    name: str
    note: str
    count: int
    share: str
    width: float
    """Of 100."""


def strips(business: Business) -> list[Strip]:
    """Return the flows over time: begun, finished by outcome, overdue."""
    labels = [at_text(at, business) for at in business.times]
    finished = (
        Series(name=_("finished: %(outcome)s") % {"outcome": each.name}, counts=each.counts)
        for each in business.finished
    )
    return [_strip(each, labels) for each in (business.begun, *finished, business.overdue)]


def table(business: Business) -> list[tuple[str, list[int]]]:
    """Return the same numbers as rows: the time, then the number of each strip; rows of zeros are left out."""
    series = [business.begun, *business.finished, business.overdue]
    rows = [
        (at_text(at, business), [each.counts[number] for each in series])
        for number, at in enumerate(business.times)
    ]
    return [(at, counts) for at, counts in rows if any(counts)]


def funnel(stages: Sequence[Stage], *, of: int) -> list[Row]:
    """Return the stages of a funnel, each with its share of all flows."""
    return [
        Row(
            name=stage.name,
            note=stage.type,
            count=stage.flows,
            share=words.share(stage.flows, of),
            width=round(100 * stage.flows / max(of, 1), 2),
        )
        for stage in stages
    ]


def durations(bars: Sequence[Bar]) -> list[Row]:
    """Return the times to finish, each with its share of all that finished."""
    total, most = sum(bar.flows for bar in bars), max((bar.flows for bar in bars), default=0)
    return [
        Row(
            name=_span(bar),
            note="",
            count=bar.flows,
            share=words.share(bar.flows, total),
            width=round(100 * bar.flows / max(most, 1), 2),
        )
        for bar in bars
    ]


def at_text(at: datetime, business: Business) -> str:
    """Return the time of a bar in words, in the zone of the person who looks."""
    local = times.local(at)
    if business.window.bar == "minute":
        return f"{local:%H:%M}"
    return f"{local:%H:%M}" if len(business.times) <= 26 else date_format(local, "D d M, H:i")


def _strip(series: Series, labels: Sequence[str]) -> Strip:
    most, wide = max(series.counts, default=0), 1000 / max(len(series.counts), 1)
    bars = tuple(
        Rectangle(
            x=round(number * wide + wide * _GAP / 2, 2),
            y=round(100 - 100 * count / most, 2),
            width=round(wide * (1 - _GAP), 2),
            height=round(100 * count / most, 2),
            tip=f"{labels[number]}: {words.number(count)}",
        )
        for number, count in enumerate(series.counts)
        if count
    )
    return Strip(name=series.name, total=series.total, most=most, bars=bars)


def _span(bar: Bar) -> str:
    if bar.end is None:
        return _("%(begin)s and more") % {"begin": words.seconds(bar.begin)}
    if not bar.begin:
        return _("under %(end)s") % {"end": words.seconds(bar.end)}
    return _("%(begin)s to %(end)s") % {"begin": words.seconds(bar.begin), "end": words.seconds(bar.end)}
