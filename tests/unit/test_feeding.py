"""Events from before a context listened, for its queue alone: which are fed, once, in what order, and what the command says."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from microworkflows import inbox, journeys, microworkflow, times, unreceived
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import feeding, store
from microworkflows.relay.feeding import Feed
from microworkflows.relay.publisher import Message, Outcome
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

TYPE = "letters.letter_written.v1"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """Let the relay take its turn whenever the feed waits; return what it has sent, and to whom."""
    messages: list[Message] = []

    monkeypatch.setattr(feeding, "sleep", lambda seconds: _relay(messages))
    return messages


def _relay(messages: list[Message]) -> None:
    due = store.due_events("letters", limit=500, now=times.now()).messages
    messages.extend(due)
    store.mark_events(Outcome(confirmed=[each.id for each in due]), now=times.now())


@pytest.fixture
def written(post: SimpleNamespace, flow: Flow) -> Callable[[int], list[Any]]:
    """Return what records letters, of which the desk hears as long as it is the only listener."""

    def write(number: int) -> list[Any]:
        metas = [flow.record(post.LetterWritten(letter_id=uuid4())) for _ in range(number)]
        flow.run(contexts=["desk"])
        return metas

    return write


def _loyalty(post: SimpleNamespace) -> list[Any]:
    """Deploy a context that begins to listen; return what it hears."""
    heard: list[Any] = []

    @microworkflow(on=post.WrittenAtDesk, context="loyalty")
    def give_points(event: Any) -> None:
        heard.append(event.meta.id)

    return heard


def _feed(**more: Any) -> Feed:
    now = datetime.now(UTC)
    given = {"event_type": TYPE, "to": "loyalty", "since": now - timedelta(hours=1), "until": now, **more}
    return Feed(**given)


def test_events_from_before_a_context_listened_go_to_its_queue_alone_once_and_in_order(
    post: SimpleNamespace,
    flow: Flow,
    written: Callable[[int], list[Any]],
    sent: list[Message],
    settings: Settings,
) -> None:
    settings.MICROWORKFLOWS = {"PREFIX": "shop."}
    before = written(3)
    heard = _loyalty(post)
    journey = journeys.journey(before[0].correlation_id)
    assert "loyalty.give_points" not in {each.label for each in journey.deliveries}  # it did not listen then
    since = written(1)

    progress = list(_feed().run(rate=None))

    assert progress[-1] == feeding.Progress(fed=3, waiting=0)
    assert [(each.id, each.routing_key) for each in sent] == [(meta.id, "shop.loyalty") for meta in before]
    (given,) = [
        each
        for each in journeys.journey(before[0].correlation_id).deliveries
        if each.label.startswith("loyalty")
    ]
    assert given.status == "expected"
    counted = unreceived.count(since=times.now() - timedelta(hours=1), until=times.now() + timedelta(hours=1))
    assert counted[unreceived.Missing(TYPE, "loyalty.give_points")] == 4
    for row in OutboxEvent.objects.filter(destination=TYPE).order_by("pk"):
        for _ in range(2):
            inbox.receive(row.body, queue="loyalty")
    assert heard == [meta.id for meta in (*before, *since)]
    assert journeys.journey(before[0].correlation_id).settled
    assert _feed().left == 0
    assert list(_feed().run(rate=1)) == [feeding.Progress(fed=0, waiting=0)]
    store.relay_again(["letters"], types=[TYPE], since=times.now() - timedelta(hours=1))
    again = store.due_events("letters", limit=10, now=times.now()).messages
    assert [each.routing_key for each in again] == [TYPE] * 4  # to all who hear it, as ever


def test_feed_that_was_stopped_goes_on_where_it_ended_and_holds_few_rows_at_once(
    post: SimpleNamespace,
    written: Callable[[int], list[Any]],
    sent: list[Message],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = written(5)
    _loyalty(post)
    monkeypatch.setattr(feeding, "_BATCH", 2)
    asked = iter([True, True, True, False])

    stopped = list(_feed().run(rate=None, goes_on=lambda: next(asked)))
    assert stopped[-1].fed == 4
    assert OutboxEvent.objects.pending().count() == 2
    assert _feed().left == 1  # those that are pending go on without the command
    _relay(sent)
    list(_feed().run(rate=1000))

    assert [each.id for each in sent] == [meta.id for meta in before]
    assert not InboxEvent.objects.of_context("loyalty").exists()


def test_context_of_another_service_is_fed_by_its_label(
    written: Callable[[int], list[Any]], sent: list[Message]
) -> None:
    before = written(2)
    OutboxEvent.objects.filter(pk=before[0].id).update(
        headers={"microworkflow": None}
    )  # of an earlier version

    list(_feed(to="elsewhere").run(rate=None))

    assert [each.routing_key for each in sent] == ["elsewhere"] * 2
    assert _feed(to="elsewhere").left == 0
    assert _feed(to="other").left == 2


def test_command_says_how_far_it_is_and_what_was_purged(
    post: SimpleNamespace,
    written: Callable[[int], list[Any]],
    sent: list[Message],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written(2)
    _loyalty(post)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    call_command("relay", TYPE, again=True, to="loyalty", since=since)

    said = capsys.readouterr().out
    assert f"{TYPE}: the oldest kept is of " in said
    assert "what was recorded before, if anything, has been purged" in said
    assert f"{TYPE}: 2 events for loyalty." in said
    assert f"{TYPE}: 2 of 2 fed to loyalty." in said
    OutboxEvent.objects.filter(destination=TYPE).update(status=OutboxEvent.Status.UNHEARD)
    with pytest.raises(CommandError, match="2 of them are unheard: the broker has no queue 'loyalty'"):
        call_command("relay", again=True, to="loyalty", since=since, types=[TYPE])

    def interrupted(self: Feed, **_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Feed, "run", interrupted)
    with pytest.raises(CommandError, match="Give the command again to go on"):
        call_command("relay", TYPE, again=True, to="loyalty", since=since)


def test_command_refuses_what_would_feed_nobody(post: SimpleNamespace, settings: Settings) -> None:
    _loyalty(post)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    for arguments, said in (
        ({"queues": [TYPE], "to": "archive"}, f"No microworkflow of archive known here listens to {TYPE}"),
        ({"queues": ["other.x_happened.v1"], "to": "elsewhere"}, "announced by no context installed here"),
        ({"queues": [], "to": "loyalty"}, "--to needs the type"),
        ({"queues": [TYPE], "to": "loyalty", "rate": -1.0}, "--rate -1 feeds nothing"),
        ({"queues": [TYPE], "to": "loyalty", "since": "2001-01-01T00:00Z"}, "more than .* days ago"),
    ):
        given: dict[str, Any] = {"since": since, **arguments}
        with pytest.raises(CommandError, match=said):
            call_command("relay", *given.pop("queues"), again=True, **given)
    with pytest.raises(CommandError, match="belong to --again"):
        call_command("relay", to="loyalty")
    settings.MICROWORKFLOWS = {"USERS": {"letters": "a", "loyalty": "b", "desk": "a", "archive": "a"}}
    with pytest.raises(CommandError, match="lets nobody but loyalty itself write"):
        call_command("relay", TYPE, again=True, to="loyalty", since=since)
