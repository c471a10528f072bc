"""What is done costs nothing more: relay, retries, hops and journeys touch as many pages however many rows are finished.

PostgreSQL itself counts, for each index and table, the scans and the pages of a transaction. So what is judged is the
query that the kit sends, not one that looks like it. With more finished rows the plans that are not wanted only become
dearer; the benchmark looks at the same plans with five million.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from unittest import mock
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from benchmarks import filling
from benchmarks.touching import Touched, touched
from microworkflows import Subject, holds, inbox, journeys, outbox, times
from microworkflows.models import Hold, InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.relay.publisher import Outcome
from tests.integration.conftest import _database_url
from tests.integration.support import probing

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

FEW, MANY = 1_000, 40_000
BACKLOG, BATCH = 3_000, 100
DEEPER = 1.5
"""An index of forty times the size may be a level deeper, so that each search of it touches one page more."""
FEW_PAGES = 10
MESSAGE_ID = "microworkflows_message"
FLOW = "the flow that waits"
NAME = "Q-000001"


def claim() -> None:
    assert len(store.due_events("probe", limit=BATCH, now=timezone.now()).messages) == BATCH


def claim_and_mark() -> None:
    messages = store.due_events("probe", limit=BATCH, now=timezone.now()).messages
    store.mark_events(Outcome(confirmed=[message.id for message in messages]), now=timezone.now())


def look_for_retries() -> None:
    assert len(store.due_retries("probe", limit=BATCH, now=timezone.now() + timedelta(minutes=1))) == 1


def handle() -> None:
    inbox.receive(json.loads(probing.cloud_event(behaviour="emit")), queue="probe")


def read_journey() -> None:
    assert journeys.journey(FLOW).steps


def find_flow() -> None:
    assert journeys.flows_about(NAME) == [FLOW]


def get_in_line() -> None:
    """As a new event does just after a pause of its context, whose messages may not have come back yet."""
    over = (Hold(kind=Hold.Kind.CONTEXT, name="probe", ended_at=times.now()),)
    with mock.patch.object(holds, "_seen", [holds._Seen(over, over)]):
        assert holds.over("probe.answer", flow=FLOW, is_new=True) is None


SEARCHES: dict[Callable[[], None], set[str]] = {
    claim: {"microworkflows_pending"},
    claim_and_mark: {"microworkflows_pending", "published_pkey"},
    look_for_retries: {"microworkflows_waiting"},
    handle: {MESSAGE_ID},
    read_journey: {
        *("microworkflows_flow", "microworkflows_received_flow"),
        MESSAGE_ID,
    },
    get_in_line: {"microworkflows_waiting"},
    find_flow: {"microworkflows_subject_key", "microworkflows_subject_name"},
}
EACH = pytest.mark.parametrize("work", SEARCHES)

Seen = dict[tuple[str, Callable[[], None]], Touched]


@pytest.fixture(scope="module")
def seen(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Seen]:
    """Yield what each kind of work touches with few finished rows, with many, and once statistics know the backlog.

    Until then they are of a time when nothing was pending, as they are on any system whose broker goes away.
    """
    database = _database_url()
    with django_db_blocker.unblock(), probing.declared():
        probing.empty_tables()
        seen: Seen = {}
        for state, first, last in [("few", 0, FEW), ("many", FEW, MANY)]:
            filling.finished(database, last - first, first=first)
            filling.pending(database, BACKLOG, first=first)
            fail()
            seen |= {(state, work): touched_by(work) for work in SEARCHES}
            if state == "few":
                OutboxEvent.objects.pending().delete()
                InboxEvent.objects.waiting().delete()
        filling.tidy(database)
        seen |= {("many, known", work): touched_by(work) for work in SEARCHES}
        yield seen
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE published, received, probe_effect")


def touched_by(work: Callable[[], None]) -> Touched:
    """Return what a piece of work touches, without the look for pauses, which comes once a second whatever else is done."""
    with mock.patch.object(holds, "look"):
        return touched(work)


def fail() -> None:
    """Let an event wait for its next attempt."""
    with transaction.atomic():
        about = Subject(kind="question", key=1, name=NAME)
        meta = outbox.record(probing.Asked(number=0, behaviour="fail"), about=about, correlation_id=FLOW)
    inbox.receive(OutboxEvent.objects.get(pk=meta.id).body, queue="probe")


@pytest.mark.parametrize("state", ["few", "many", "many, known"])
@EACH
def test_work_searches_the_index_that_was_made_for_it(
    seen: Seen, work: Callable[[], None], state: str
) -> None:
    assert set(seen[state, work].indexes) == SEARCHES[work]
    assert seen[state, work].whole == []


@EACH
def test_work_touches_as_many_pages_however_much_is_finished(seen: Seen, work: Callable[[], None]) -> None:
    assert seen["many", work].pages <= DEEPER * seen["few", work].pages + FEW_PAGES


def test_look_into_a_backlog_passes_over_nothing_that_was_marked(seen: Seen) -> None:
    waiting = list(OutboxEvent.objects.pending(context="probe").values_list("pk", flat=True)[:BACKLOG])
    marked, front = waiting[: BACKLOG - 2 * BATCH], waiting[BACKLOG - 2 * BATCH]

    def look(starting_at: UUID | None) -> None:
        due = store.due_events("probe", limit=BATCH, now=timezone.now(), starting_at=starting_at)
        assert [message.id for message in due.messages] == waiting[BACKLOG - 2 * BATCH : BACKLOG - BATCH]

    with transaction.atomic():
        store.mark_events(Outcome(confirmed=marked), now=timezone.now())
        everywhere, from_the_front = touched(lambda: look(None)).pages, touched(lambda: look(front)).pages
        transaction.set_rollback(True)

    assert from_the_front * 10 < everywhere


def test_look_for_pauses_reads_none_of_those_that_are_over(database: str) -> None:
    now = times.now()
    over = [
        Hold(
            kind=Hold.Kind.MICROWORKFLOW,
            name=f"probe.{number}",
            by="a breaker",
            began_at=now,
            ended_at=now - timedelta(days=1),
        )
        for number in range(FEW)
    ]
    Hold.objects.bulk_create(over)
    filling.tidy(database)

    looked = touched(lambda: holds.look(anew=True))

    assert looked.indexes == ["microworkflows_hold_ended", "microworkflows_one_hold"]
    assert looked.whole == []
