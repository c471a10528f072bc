"""The counters: each row once, by the status that it has after a minute, and never down."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections, transaction
from django_outbox_pattern.models import Published, Received

from microworkflows import ids, times
from microworkflows.metrics import totals
from microworkflows.metrics.catalog import BUCKETS, HOP
from microworkflows.metrics.models import Tally
from microworkflows.models import Header, InboxEvent, OutboxEvent, message_id
from microworkflows.purging import purge

pytestmark = pytest.mark.django_db

LETTER = ("events_recorded_total", "letters", "letters.letter_written.v1")
STAMPED = ("messages_received_total", "desk", "desk.stamp_letter")


@pytest.fixture(autouse=True)
def counting(post: SimpleNamespace) -> None:
    """Begin to count ten minutes ago."""
    Tally.objects.bulk_create(
        Tally(name=name, upto=times.stored(datetime.now(UTC) - timedelta(minutes=10)))
        for name in ("outbox", "inbox")
    )


def event(*, age: float, status: OutboxEvent.Status = OutboxEvent.Status.RELAYED) -> None:
    added = datetime.now(UTC) - timedelta(seconds=age)
    row = Published(
        id=ids.lowest(added),
        destination="letters.letter_written.v1",
        body={},
        headers={Header.MICROWORKFLOW: None},
        status=status,
    )
    row.id = UUID(int=row.id.int + uuid4().int % 2**60)
    Published.objects.bulk_create([row])
    Published.objects.filter(pk=row.pk).update(added=times.stored(added))


def message(
    *,
    age: float,
    hop: float = 0.0,
    status: InboxEvent.Status = InboxEvent.Status.HANDLED,
    of: UUID | None = None,
) -> None:
    # To the millisecond, as ids have it.
    added = datetime.fromtimestamp(round(datetime.now(UTC).timestamp() - age, 2), UTC)
    recorded = ids.lowest(added - timedelta(seconds=hop)).int | 7 << 76 | 0b10 << 62 | uuid4().int % 2**60
    row = Received(
        msg_id=message_id("desk.stamp_letter", of or UUID(int=recorded)),
        headers={Header.TYPE: "letters.letter_written.v1", Header.CORRELATION_ID: "1"},
        status=status,
    )
    Received.objects.bulk_create([row])
    Received.objects.filter(pk=row.pk).update(added=times.stored(added))


def test_row_is_counted_once_when_it_is_a_minute_old(told: Callable[..., Any]) -> None:
    for age in (300, 120, 5):
        event(age=age)
        message(age=age)
    event(age=90, status=OutboxEvent.Status.UNHEARD)
    message(age=90, status=InboxEvent.Status.PARKED)

    for _ in range(2):
        found = told(totals.totals())

        assert found[*LETTER, "relayed"] == 2
        assert found[*LETTER, "unheard"] == 1
        assert found[*LETTER, "pending"] == 0
        assert found[*STAMPED, "handled"] == 2
        assert found[*STAMPED, "parked"] == 1
        assert found[*STAMPED, "waiting"] == 0
        assert found["messages_received_total", "archive", "archive.file_letter", "handled"] == 0


def test_counters_go_down_by_no_purge(told: Callable[..., Any]) -> None:
    event(age=300)
    message(age=300)
    before = told(totals.totals())

    purge(now=datetime.now(UTC), age=timedelta(0))

    assert not Published.objects.exists()
    assert told(totals.totals()) == before
    assert before[*LETTER, "relayed"] == before[*STAMPED, "handled"] == 1


def test_counting_begins_at_the_first_scrape(told: Callable[..., Any]) -> None:
    Tally.objects.all().delete()
    event(age=300)

    assert told(totals.totals())[*LETTER, "relayed"] == 0
    assert told(totals.totals())[*LETTER, "relayed"] == 0
    upto = times.aware(Tally.objects.get(pk="outbox").upto)
    assert upto == pytest.approx(datetime.now(UTC) - timedelta(minutes=1), abs=timedelta(seconds=30))


def test_after_a_pause_several_scrapes_catch_up(
    told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "_STEP", 2)
    monkeypatch.setattr(totals, "_SECONDS", -1.0)
    for age in (500, 400, 300, 200, 100):
        event(age=age)

    assert [told(totals.totals())[*LETTER, "relayed"] for _ in range(4)] == [2, 4, 5, 5]


def test_very_many_rows_of_one_moment_are_counted_at_once(
    told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "_STEP", 2)
    for _ in range(5):
        event(age=300)
    Published.objects.update(added=Published.objects.order_by("added")[0].added)

    assert told(totals.totals())[*LETTER, "relayed"] == 5


def test_hops_fall_into_buckets_that_hold_their_upper_bound() -> None:
    for hop in (0.0, 0.004, 0.25, 0.26, 7200.0):
        message(age=120, hop=hop)
    message(age=120, hop=-5)  # by a clock that is late
    message(age=120, of=uuid4())  # from a service whose ids tell no time

    (hops,) = [
        sample
        for sample in totals.totals()
        if sample.metric is HOP and sample.labels[1] == "desk.stamp_letter"
    ]

    numbers = dict(zip((*BUCKETS, None), hops.buckets, strict=True))
    assert {bound: number for bound, number in numbers.items() if number} == {
        0.005: 3,
        0.25: 1,
        0.5: 1,
        None: 1,
    }
    assert hops.value == pytest.approx(7200.514, abs=0.01)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_scrape_beside_another_waits_for_nobody_and_tells_the_last_totals(told: Callable[..., Any]) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    event(age=300)
    found: list[dict[Any, float]] = []

    def scrape() -> None:
        try:
            found.append(told(totals.totals()))
        finally:
            connections["default"].close()

    with transaction.atomic():
        Tally.objects.select_for_update().get(pk="outbox")
        thread = threading.Thread(target=scrape)
        thread.start()
        thread.join(20)

    assert found[0][*LETTER, "relayed"] == 0
    assert told(totals.totals())[*LETTER, "relayed"] == 1
