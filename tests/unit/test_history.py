"""The history of failed messages: attempts, fingerprints, replays with who and why, and dismissal."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from microworkflows import Subject, fingerprints, journeys, microworkflow
from microworkflows.errors import PermanentError
from microworkflows.journeys import DeliveryStatus
from microworkflows.models import HistoryEntry, InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.relay.publisher import Outcome
from microworkflows.templatetags.microworkflows import mw_tone
from microworkflows.testing import Flow

Kind = HistoryEntry.Kind
DISMISSED, WAITING = InboxEvent.Status.DISMISSED, InboxEvent.Status.WAITING


def fail(post: SimpleNamespace, flow: Flow, error: Exception) -> InboxEvent:
    post.fail = error
    meta = flow.record(post.LetterWritten(letter_id=uuid4()), about=Subject(kind="letter", key=uuid4()))
    flow.run(keep_failures=True)
    return InboxEvent.objects.get(msg_id=f"desk.stamp_letter:{meta.id}")


@pytest.fixture
def parked(post: SimpleNamespace, flow: Flow) -> InboxEvent:
    return fail(post, flow, PermanentError("torn"))


# Attempts


def test_history_keeps_each_attempt_and_a_replay_erases_none(post: SimpleNamespace, flow: Flow) -> None:
    row = fail(post, flow, ValueError("no ink"))
    post.fail = KeyError("no stamp")
    flow.retry()
    InboxEvent.objects.all().replay(by="clerk", why="the stamps have come")
    post.fail = PermanentError("torn")
    flow.retry()

    entries = list(row.history)

    assert [(entry.kind, entry.attempt) for entry in entries] == [
        (Kind.FAILED, 1),
        (Kind.FAILED, 2),
        (Kind.REPLAYED, None),
        (Kind.PARKED, 1),
    ]
    assert [entry.error for entry in entries] == [
        "ValueError: no ink",
        "KeyError: 'no stamp'",
        "",
        "PermanentError: torn",
    ]
    assert all("in stamp_letter" in entry.traceback for entry in entries if entry.is_failure)
    assert all((entry.duration or -1) >= 0 for entry in entries if entry.is_failure)
    assert (entries[2].by, entries[2].why) == ("clerk", "the stamps have come")
    assert entries[2].fingerprint == entries[1].fingerprint


def test_message_that_is_handled_at_once_has_no_history(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()

    messages = InboxEvent.objects.values_list("msg_id", flat=True)
    assert len(messages) == 2
    assert not HistoryEntry.objects.filter(msg_id__in=messages).exists()


def test_history_tells_that_the_relay_parked_a_message(post: SimpleNamespace, flow: Flow) -> None:
    row = fail(post, flow, ValueError("no ink"))
    now = timezone.now() + timedelta(hours=1)

    store.mark_retries(Outcome(rejected={row.pk: "too large"}), now=now)

    _, entry = row.history
    assert (entry.kind, entry.attempt, entry.error) == (Kind.PARKED, None, "too large")
    assert entry.worker.startswith("relay@")
    assert InboxEvent.objects.get().fingerprint == entry.fingerprint


def test_purge_deletes_the_history_with_its_message(
    parked: InboxEvent, post: SimpleNamespace, flow: Flow
) -> None:
    kept = fail(post, flow, PermanentError("torn"))
    InboxEvent.objects.filter(pk=parked.pk).dismiss(by="clerk", why="thrown away")
    age = timezone.now() - timedelta(days=40)
    OutboxEvent.objects.all().delete()
    InboxEvent.objects.update(added=age, expires_at=age)
    HistoryEntry.objects.update(at=age)

    call_command("purge_events")

    assert [row.pk for row in InboxEvent.objects.all()] == [kept.pk]
    assert {entry.msg_id for entry in HistoryEntry.objects.all()} == {kept.msg_id}


# Fingerprints


def fingerprint(function: Callable[[], object], consumer: str = "desk.stamp_letter") -> str:
    try:
        function()
    except Exception as error:
        return fingerprints.of_error(error, consumer=consumer)
    raise AssertionError("nothing was raised")


def weigh(text: str = "") -> None:
    if text == "heavy":
        raise ValueError(text)
    raise ValueError(text or "unknown")


def measure() -> None:
    raise ValueError("unknown")


def test_fingerprint_is_the_same_whatever_the_text_and_the_line_say() -> None:
    assert fingerprint(lambda: weigh("heavy")) == fingerprint(weigh)
    assert len(fingerprint(weigh)) == fingerprints.LENGTH


def test_fingerprint_tells_types_functions_and_microworkflows_apart() -> None:
    def with_another_type() -> None:
        uuid4().bogus  # type: ignore[attr-defined]  # noqa: B018

    different = {
        fingerprint(weigh),
        fingerprint(measure),
        fingerprint(weigh, consumer="archive.file_letter"),
        fingerprint(with_another_type),
        fingerprints.of_kind("ValueError", consumer="desk.stamp_letter"),
    }

    assert len(different) == 5


def test_fingerprint_goes_by_ones_own_code_and_not_by_what_it_calls() -> None:
    def by_one_way() -> None:
        int("nought")

    def by_the_kits() -> None:
        Subject(kind="", key=1)

    def by_the_kits_otherwise() -> None:
        Subject(kind="letter", key="")

    by_the_kits_otherwise.__code__ = by_the_kits_otherwise.__code__.replace(
        co_qualname=by_the_kits.__code__.co_qualname
    )

    assert fingerprint(by_the_kits) == fingerprint(by_the_kits_otherwise)
    assert fingerprint(by_one_way) != fingerprint(by_the_kits)


def test_failures_of_one_cause_have_one_fingerprint_in_the_inbox(post: SimpleNamespace, flow: Flow) -> None:
    torn = [fail(post, flow, PermanentError(f"torn {number}")) for number in range(2)]
    other = fail(post, flow, ValueError("no ink"))

    assert torn[0].fingerprint == torn[1].fingerprint != other.fingerprint
    found = InboxEvent.objects.failing().of_problem(torn[0].fingerprint or "")
    assert {row.pk for row in found} == {row.pk for row in torn}


# Dismissal


def test_dismissed_message_is_neither_open_nor_failed_nor_handled(parked: InboxEvent) -> None:
    assert InboxEvent.objects.parked().dismiss(by="clerk", why="the sender wrote anew") == 1

    assert not InboxEvent.objects.failing().exists()
    journey = journeys.journey(parked.correlation_id)
    (delivery,) = journey.deliveries
    assert delivery.status is DeliveryStatus.DISMISSED
    assert (journey.open, journey.failed, journey.handled, journey.dismissed) == (False, False, 0, 1)
    assert mw_tone(journey) == "idle"
    *_, entry = parked.history
    assert (entry.kind, entry.by, entry.why) == (Kind.DISMISSED, "clerk", "the sender wrote anew")


def test_dismissed_message_stays_so_when_its_event_comes_again(
    parked: InboxEvent, post: SimpleNamespace, flow: Flow
) -> None:
    InboxEvent.objects.parked().dismiss(by="clerk", why="no need")
    post.fail, post.calls[:] = None, []

    flow.deliver(OutboxEvent.objects.get(pk=parked.event_id))

    assert post.calls == []
    assert InboxEvent.objects.get().status == DISMISSED


def test_dismissed_message_can_be_replayed(parked: InboxEvent, post: SimpleNamespace, flow: Flow) -> None:
    InboxEvent.objects.parked().dismiss(by="clerk", why="no need")

    call_command("replay", str(parked.pk), why="it was needed after all", by="chief")

    post.fail = None
    flow.retry()
    assert InboxEvent.objects.get(pk=parked.pk).status == InboxEvent.Status.HANDLED
    assert [entry.by for entry in parked.history] == ["", "clerk", "chief"]


def test_dismissal_leaves_what_is_handled_and_needs_a_reason(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()

    assert InboxEvent.objects.all().dismiss(by="clerk", why="no need") == 0
    with pytest.raises(ValueError, match="give the reason"):
        InboxEvent.objects.all().dismiss(by="clerk", why=" ")
    with pytest.raises(CommandError, match="--why is empty"):
        call_command("dismiss", all=True, why=" ")


def test_event_that_others_handle_still_does_not_wait_for_a_dismissed_message(
    post: SimpleNamespace, flow: Flow
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        return None

    row = fail(post, flow, PermanentError("torn"))
    InboxEvent.objects.filter(pk=row.pk).dismiss(by="clerk", why="no need")

    journey = journeys.journey(row.correlation_id)

    assert journey.settled
    assert (journey.handled, journey.dismissed) == (1, 1)


# Commands


def test_commands_choose_messages_by_the_fingerprint_of_their_failure(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = fail(post, flow, PermanentError("torn"))
    post.fail = None

    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        raise PermanentError("no scales")

    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    weighed = InboxEvent.objects.parked().exclude(pk=torn.pk).get()

    call_command("parked", problem=torn.fingerprint)
    call_command("dismiss", problem=torn.fingerprint, why="thrown away")
    call_command("replay", problem=weighed.fingerprint, why="the scales are mended")

    lines = capsys.readouterr().out.splitlines()
    assert str(torn.pk) in lines[0]
    assert lines[1].startswith("1 messages.")
    assert lines[2:] == [
        "1 messages were dismissed.",
        "1 messages are due now; the relay of their context redelivers them.",
    ]
    statuses = {row.pk: row.status for row in InboxEvent.objects.filter(pk__in=[torn.pk, weighed.pk])}
    assert statuses == {torn.pk: DISMISSED, weighed.pk: WAITING}
    assert all(list(row.history)[-1].by for row in (torn, weighed))


# The admin


def test_page_of_a_message_shows_its_history(parked: InboxEvent, admin_client: Client) -> None:
    InboxEvent.objects.all().replay(by="the clerk", why="<b>glued</b>")

    page = admin_client.get(reverse("admin:microworkflows_inboxevent_change", args=[parked.pk]))

    text = page.content.decode()
    assert "attempt 1" in text
    assert "PermanentError: torn" in text
    assert "the clerk" in text
    assert "&lt;b&gt;glued&lt;/b&gt;" in text


def test_admin_asks_why_before_it_replays(parked: InboxEvent, login: Callable[..., Client]) -> None:
    client = login("view_inboxevent", "replay_inboxevent")
    url = reverse("admin:microworkflows_inboxevent_again", args=[parked.pk])

    asked = client.post(url)
    assert InboxEvent.objects.get().status == InboxEvent.Status.PARKED
    client.post(url, {"confirmed": "yes", "why": "glued"})

    assert "Try these messages again now" in asked.content.decode()
    assert InboxEvent.objects.get().status == WAITING
    *_, entry = parked.history
    assert (entry.by, entry.why) == ("clerk", "glued")
    assert LogEntry.objects.get().change_message == "Replayed in the admin. Reason: glued"


def test_admin_dismisses_the_selected_messages_with_a_reason(
    parked: InboxEvent, login: Callable[..., Client]
) -> None:
    client = login("view_inboxevent", "dismiss_inboxevent")
    url = reverse("admin:microworkflows_inboxevent_changelist")
    form = {"action": "dismiss_selected", "_selected_action": [str(parked.pk)]}

    asked = client.post(url, form)
    without_reason = client.post(url, {**form, "confirmed": "yes", "why": " "})
    assert InboxEvent.objects.get().status == InboxEvent.Status.PARKED
    done = client.post(url, {**form, "confirmed": "yes", "why": "thrown away"}, follow=True)

    for page in (asked, without_reason):
        assert "Give these messages up" in page.content.decode()
        assert f'name="_selected_action" value="{parked.pk}"' in page.content.decode()
    assert [str(each) for each in done.context["messages"]] == ["1 message dismissed."]
    assert InboxEvent.objects.get().status == DISMISSED
    assert LogEntry.objects.get().change_message == "Dismissed in the admin. Reason: thrown away"


def test_dismissing_needs_its_own_permission(parked: InboxEvent, login: Callable[..., Client]) -> None:
    client = login("view_inboxevent", "replay_inboxevent")

    refused = client.post(reverse("admin:microworkflows_inboxevent_dismiss", args=[parked.pk]))

    assert refused.status_code == 403
    assert InboxEvent.objects.parked().count() == 1


def test_inbox_lists_the_messages_of_one_problem(
    parked: InboxEvent, post: SimpleNamespace, flow: Flow, admin_client: Client
) -> None:
    other = fail(post, flow, ValueError("no ink"))
    url = reverse("admin:microworkflows_inboxevent_changelist")

    page = admin_client.get(url, {"problem": parked.fingerprint or ""})

    assert [row.pk for row in page.context["cl"].result_list] == [parked.pk]
    assert str(other.pk) not in page.content.decode()
