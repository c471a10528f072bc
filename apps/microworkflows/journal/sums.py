"""Sums of the journal's minutes by edge: how much came which way in a window, what failed, and how long the hops took."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from django.db import connections, router
from django.db.models import Sum

from microworkflows import times
from microworkflows.journal.models import Minute
from microworkflows.journal.windows import Window


@dataclass(kw_only=True)
class Sums:
    """Sums of the minutes of one edge."""

    count: int = 0
    failed: int = 0
    parked: int = 0
    hops: list[int] = field(default_factory=list)


def of_window(window: Window) -> Mapping[tuple[str, str], Sums]:
    """Return the sums of a window's minutes by edge; of a long window as they were at the beginning of this minute.

    A week of a busy process has hundreds of thousands of minutes, and pages ask every few seconds.
    """
    if window.until - window.since <= timedelta(hours=1):
        return _summed(window.since, window.until)
    minute = window.until.replace(second=0, microsecond=0)
    return _kept(
        connections[router.db_for_read(Minute)].alias, minute - (window.until - window.since), minute
    )


@lru_cache(maxsize=8)
def _kept(alias: str, since: datetime, until: datetime) -> Mapping[tuple[str, str], Sums]:
    return _summed(since, until)


def forget() -> None:
    """Forget the sums kept for this minute, for tests."""
    _kept.cache_clear()


def _summed(since: datetime, until: datetime) -> dict[tuple[str, str], Sums]:
    since, until = times.stored(since - timedelta(minutes=1)), times.stored(until)
    rows = Minute.objects.filter(at__gt=since, at__lte=until)
    totals = rows.order_by().values_list("type", "consumer")
    sums = {
        (event_type, consumer): Sums(count=count, failed=failed, parked=parked)
        for event_type, consumer, count, failed, parked in totals.annotate(
            Sum("count"), Sum("failed"), Sum("parked")
        )
    }
    for event_type, consumer, number, count in _hops(since, until):
        hops = sums[event_type, consumer].hops
        hops.extend([0] * (number + 1 - len(hops)))
        hops[number] += count
    return sums


_HOPS: Final = {
    "postgresql": (
        "SELECT seen.type, seen.consumer, place - 1, sum(number::bigint) FROM {table} AS seen "
        "CROSS JOIN LATERAL jsonb_array_elements_text(seen.hops) WITH ORDINALITY AS bucket (number, place)"
    ),
    "sqlite": (
        "SELECT seen.type, seen.consumer, bucket.key, sum(bucket.value) FROM {table} AS seen "
        "CROSS JOIN json_each(seen.hops) AS bucket"
    ),
}


def _hops(since: datetime, until: datetime) -> list[tuple[str, str, int, int]]:
    """Return the counts of the histograms, added up where they are: type, consumer, bucket, count."""
    connection = connections[router.db_for_read(Minute)]
    adapt = connection.ops.adapt_datetimefield_value
    selected = _HOPS[connection.vendor].format(table=connection.ops.quote_name(Minute._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(
            f"{selected} WHERE seen.at > %s AND seen.at <= %s GROUP BY 1, 2, 3", [adapt(since), adapt(until)]
        )
        return [(row[0], row[1], int(row[2]), int(row[3])) for row in cursor.fetchall()]
