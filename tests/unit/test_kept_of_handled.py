"""A handled message keeps the event's attributes alone; one that failed keeps all that another attempt needs."""

from collections.abc import Callable
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from microworkflows import DomainEvent, IncomingEvent, Metadata, inbox, journeys, microworkflow
from microworkflows.cloudevents import CloudEvent, has_data, kept_of
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

LETTER = UUID(int=1)
INDEXES = {
    "published": {
        "microworkflows_flow",
        "microworkflows_pending",
        "microworkflows_scheduled",
        "microworkflows_subject_key",
        "microworkflows_subject_name",
        "microworkflows_unrelayed",
    },
    "received": {
        "microworkflows_parked",
        "microworkflows_problem",
        "microworkflows_received_flow",
        "microworkflows_waiting",
    },
}


@pytest.fixture
def foreign(post: SimpleNamespace, flow: Flow) -> Callable[[], Metadata]:
    """Return a function that hands a letter to the desk whose outbox row is in no database of this service."""

    def deliver() -> Metadata:
        meta = flow.record(post.LetterWritten(letter_id=LETTER))
        row = OutboxEvent.objects.get(pk=meta.id)
        row.delete()
        inbox.receive(row.body, queue="desk")
        return meta

    return deliver


def in_full() -> None:
    """Give the handled messages what an earlier version kept: the whole event."""
    for row in InboxEvent.objects.all():
        body = {**row.body, "datacontenttype": "application/json", "data": {"letter_id": str(LETTER)}}
        InboxEvent.objects.filter(pk=row.pk).update(body=body)


@pytest.mark.parametrize("way", ["alone", "bundled", "retried"])
def test_handled_message_keeps_the_attributes_alone(post: SimpleNamespace, flow: Flow, way: str) -> None:
    meta = flow.record(post.LetterWritten(letter_id=LETTER))
    body = OutboxEvent.objects.get(pk=meta.id).body
    if way == "bundled":
        inbox.receive_bundle([body], queue="desk")
    else:
        post.fail = ValueError("no ink") if way == "retried" else None
        flow.run(keep_failures=True)
        post.fail = None
        flow.retry()

    (row,) = InboxEvent.objects.of_workflow("desk.stamp_letter")

    assert row.status == InboxEvent.Status.HANDLED
    assert str(LETTER) not in str(row.body)
    assert row.body == kept_of(CloudEvent.from_dict(body))
    assert not has_data(row.body)
    assert CloudEvent.from_dict(row.body).meta == meta, "earlier versions read it, too"


@pytest.mark.parametrize("error", [ValueError("no ink"), PermanentError("never")])
def test_failed_message_keeps_the_whole_event(post: SimpleNamespace, flow: Flow, error: Exception) -> None:
    post.fail = error
    meta = flow.record(post.LetterWritten(letter_id=LETTER))
    flow.run(keep_failures=True)

    (row,) = InboxEvent.objects.all()

    assert row.body == OutboxEvent.objects.get(pk=meta.id).body
    assert has_data(row.body)


def test_event_without_fields_is_told_from_one_that_is_not_kept(empty_registry: None, flow: Flow) -> None:
    class BellRung(DomainEvent, type="letters.bell_rung.v1"):
        pass

    meta = flow.record(BellRung())
    body = OutboxEvent.objects.get(pk=meta.id).body

    assert body["data"] == {}
    assert has_data(body)
    assert not has_data(kept_of(CloudEvent.from_dict(body)))


def test_journey_shows_what_the_outbox_or_an_earlier_version_kept_and_says_what_is_not_kept(
    post: SimpleNamespace, flow: Flow, foreign: Callable[[], Metadata], login: Callable[..., Client]
) -> None:
    ours = flow.record(post.LetterWritten(letter_id=LETTER))
    flow.run()
    theirs = foreign()
    client = login("view_outboxevent", "view_inboxevent")

    def shown(meta: Metadata) -> tuple[object, str]:
        page = reverse("admin:microworkflows_journey", args=[meta.correlation_id])
        first = journeys.journey(meta.correlation_id).steps[0]
        return first.payload, client.get(page).content.decode()

    payload, page = shown(ours)
    assert payload == {"letter_id": str(LETTER), "postage": "1.10"}
    assert "Not kept here" not in page
    payload, page = shown(theirs)
    assert payload is None
    assert "Not kept here" in page
    in_full()
    payload, page = shown(theirs)
    assert payload == {"letter_id": str(LETTER)}
    assert "Not kept here" not in page


def test_journey_shows_what_a_message_that_failed_beside_a_handled_one_has(
    post: SimpleNamespace, foreign: Callable[[], Metadata]
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: IncomingEvent) -> None:
        raise PermanentError("no scales")

    meta = foreign()

    (step, *_) = journeys.journey(meta.correlation_id).steps
    assert [each.status for each in step.deliveries] == ["handled", "parked"]
    assert step.payload == {"letter_id": str(LETTER), "postage": "1.10"}


def test_page_of_a_handled_message_says_that_its_data_are_not_kept(
    post: SimpleNamespace, flow: Flow, login: Callable[..., Client]
) -> None:
    flow.record(post.LetterWritten(letter_id=LETTER))
    flow.run()
    (row,) = InboxEvent.objects.of_workflow("desk.stamp_letter")
    client = login("view_inboxevent")

    def page() -> str:
        return client.get(reverse("admin:microworkflows_inboxevent_change", args=[row.pk])).content.decode()

    assert "The data are not kept" in page()
    assert str(LETTER) not in page()
    in_full()
    assert "The data are not kept" not in page()
    assert str(LETTER) in page()


@pytest.mark.parametrize("table", INDEXES)
def test_tables_have_these_indexes_and_no_others(table: str) -> None:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table)
    indexes = {
        name: each for name, each in found.items() if each["index"] or each["unique"] or each["primary_key"]
    }

    of_the_kit = {name for name in indexes if name.startswith("microworkflows_")}
    of_columns = sorted(each["columns"] for name, each in indexes.items() if name not in INDEXES[table])

    assert of_the_kit - {"microworkflows_message"} == INDEXES[table]
    assert of_columns == [["added"], ["id"], *([["msg_id"]] if table == "received" else [])]


def test_database_refuses_a_second_row_of_a_message(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=LETTER))
    flow.run()
    row = InboxEvent.objects.all()[0]
    row.pk = uuid4()

    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)
