from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from microworkflows import heartbeats, journeys, microworkflow, purging
from microworkflows.errors import PermanentError
from microworkflows.models import Heartbeat, InboxEvent, OutboxEvent
from microworkflows.testing import Flow


@pytest.fixture
def old_rows(post: SimpleNamespace, flow: Flow) -> None:
    """One row of each status in outbox and inbox, all 40 days old."""
    for _ in range(3):
        flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(contexts=["desk"])
    for failure in (ValueError("later"), PermanentError("never")):
        post.fail = failure
        flow.record(post.LetterWritten(letter_id=uuid4()))
        flow.run(contexts=["desk"], keep_failures=True)
    flow.record(post.LetterWritten(letter_id=uuid4()))
    age = timezone.now() - timedelta(days=40)
    OutboxEvent.objects.update(added=age)
    InboxEvent.objects.update(added=age, expires_at=age)


def test_purge_leaves_what_is_pending_unheard_waiting_or_parked(
    old_rows: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(purging, "_BATCH", 2)

    call_command("purge_events")

    assert capsys.readouterr().out == "Deleted 5 relayed events and 3 handled messages.\n"
    assert set(OutboxEvent.objects.values_list("status", flat=True)) == {
        OutboxEvent.Status.PENDING,
        OutboxEvent.Status.UNHEARD,
    }
    assert sorted(InboxEvent.objects.values_list("status", flat=True)) == [
        InboxEvent.Status.PARKED,
        InboxEvent.Status.WAITING,
    ]


def test_purge_leaves_what_is_younger_than_the_retention(
    old_rows: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("purge_events", days=41)

    assert capsys.readouterr().out == "Deleted 0 relayed events and 0 handled messages.\n"


def test_purge_leaves_what_recognises_an_event_that_another_message_may_bring_back(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_BATCH", 1)

    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        if post.scales_in_use:
            raise PermanentError("the scales are in use")

    for post.scales_in_use in (True, False):
        flow.record(post.LetterWritten(letter_id=uuid4()))
        flow.run(contexts=["desk"], keep_failures=True)
    age = timezone.now() - timedelta(days=40)
    OutboxEvent.objects.update(added=age)
    InboxEvent.objects.update(added=age, expires_at=age)
    (parked,) = flow.parked

    call_command("purge_events")

    assert "and 2 handled messages." in capsys.readouterr().out
    assert {row.label for row in InboxEvent.objects.filter(msg_id__endswith=str(parked.event_id))} == {
        "desk.stamp_letter",
        "desk.weigh_letter",
    }
    assert InboxEvent.objects.count() == 2


@pytest.mark.django_db
def test_purge_deletes_old_heartbeats(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("gone@here", "here@here"):
        process = heartbeats.Process(worker=name, host="here", pid=1, started_at=timezone.now())
        heartbeats.note(process, depths={"desk": None}, handling=0)
    Heartbeat.objects.filter(worker="gone@here").update(seen_at=timezone.now() - timedelta(days=40))

    call_command("purge_events")

    assert "Deleted 1 heartbeats of workers.\n" in capsys.readouterr().out
    assert [seen.process.worker for seen in heartbeats.workers()] == ["here@here"]


def test_purge_remembers_a_message_that_was_received_long_ago_and_handled_just_now(
    old_rows: None, post: SimpleNamespace, flow: Flow
) -> None:
    post.fail = None
    handled = InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count()

    flow.retry()
    call_command("purge_events")

    assert handled == 3
    assert InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == 1


def test_purge_keeps_what_tells_who_handled_an_event_as_long_as_the_event(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    age = timezone.now() - timedelta(days=40)
    OutboxEvent.objects.update(added=age)
    InboxEvent.objects.update(added=age, expires_at=age)
    OutboxEvent.objects.filter(pk=meta.id).update(status=OutboxEvent.Status.PENDING)  # to be relayed again

    call_command("purge_events")

    assert [row.event_id for row in InboxEvent.objects.all()] == [meta.id]
    assert journeys.journey(meta.correlation_id).handled == 1
    flow.run()
    assert len(post.calls) == 2
    call_command("purge_events")
    OutboxEvent.objects.update(added=age)
    call_command("purge_events")
    assert not InboxEvent.objects.exists()
