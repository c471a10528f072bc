"""``manage.py deadlines``: declared deadlines beside the times that flows really take, and what could be declared."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from microworkflows.journal import proposals
from microworkflows.journal.proposals import Hop, Way
from microworkflows.journeys import human_duration
from microworkflows.management.base import KitCommand, add_format


class Command(KitCommand):
    help = (
        "Show, from the journal's newest 5,000 flows, how long they took from one event to another: declared deadlines, and the way "
        "from the first event to a final one; and the slowest hops of the last 24 hours. A proposal alarms nobody: declare it by "
        "@deadline."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_format(parser)
        parser.add_argument("--hops", type=int, default=10, help="show at most so many hops; by default 10")

    def handle(self, *args: Any, format: str, hops: int, **options: Any) -> None:  # noqa: A002  (the option's name)
        ways, slowest = proposals.ways(), proposals.hops(now=datetime.now(UTC))[:hops]
        if format == "json":
            told = {"ways": [_plain_way(way) for way in ways], "hops": [_plain_hop(hop) for hop in slowest]}
            self.stdout.write(json.dumps(told, indent=2))
            return
        if not ways:
            self.stdout.write("No deadline is declared, and no flow has reached a final event.")
        for way in ways:
            self.stdout.write(f"{way.awaited}, after {way.of}")
            declared = "none" if way.declared is None else human_duration(way.declared)
            self.stdout.write(f"    declared {declared}; {_seen(way)}; proposed {_or_unknown(way.proposed)}")
        if slowest:
            self.stdout.write("\nSlowest hops of the last 24 hours, from recording to handling:")
        for hop in slowest:
            median, p99 = human_duration(hop.median), human_duration(hop.p99)
            self.stdout.write(
                f"    {hop.consumer} of {hop.type}: median {median}, p99 {p99}, of {hop.count:,}"
            )


def _seen(way: Way) -> str:
    if not way.flows:
        return "seen in no flow"
    times = (way.median, way.p99, way.longest)
    median, p99, longest = map(_or_unknown, times)
    return f"seen in {way.flows:,} flows: median {median}, p99 {p99}, longest {longest}"


def _or_unknown(time: timedelta | None) -> str:
    return "unknown: too few flows" if time is None else human_duration(time)


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()


def _plain_way(way: Way) -> dict[str, Any]:
    return {
        "awaited": way.awaited,
        "of": way.of,
        "declared": _seconds(way.declared),
        "flows": way.flows,
        "median": _seconds(way.median),
        "p99": _seconds(way.p99),
        "longest": _seconds(way.longest),
        "proposed": _seconds(way.proposed),
    }


def _plain_hop(hop: Hop) -> dict[str, Any]:
    return {
        "type": hop.type,
        "consumer": hop.consumer,
        "count": hop.count,
        "median": _seconds(hop.median),
        "p99": _seconds(hop.p99),
    }
