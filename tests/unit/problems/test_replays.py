from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from microworkflows import flows
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent
from microworkflows.problems import checks, replays
from microworkflows.problems.guest import Problems
from microworkflows.problems.models import Replay, ReplayedMessage
from microworkflows.problems.replays import Progress, ReplayRefusedError
from microworkflows.testing import Flow
from tests.unit.problems.conftest import Fail

DESK = ["desk"]


def progress(replay: Replay) -> tuple[int, ...]:
    """Return the numbers: to come, on their way, handled, failed again, left alone."""
    now = replays.progress(replay)
    return now.to_come, now.sent, now.handled, now.failed, now.left


def begin(rows: list[InboxEvent], *, per_second: int = replays.MOST_PER_SECOND) -> Replay:
    return replays.begin(rows[0].fingerprint or "", by="clerk", why="glued", per_second=per_second)


def let_time_pass(seconds: float = 1.0) -> None:
    Replay.objects.update(advanced_at=F("advanced_at") - timedelta(seconds=seconds))


def test_replay_brings_back_so_many_a_second_the_oldest_first(fail: Fail, flow: Flow) -> None:
    rows = fail(PermanentError("torn"), 5)
    replay = begin(rows, per_second=2)

    brought = replays.advance(DESK)
    at_once = replays.advance(DESK)

    assert (brought, at_once) == (2, 0)
    assert {row.pk for row in flow.waiting} == {row.pk for row in rows[:2]}
    assert progress(replay) == (3, 2, 0, 0, 0)
    let_time_pass()
    assert replays.advance(DESK) == 2
    let_time_pass(60)
    assert replays.advance(DESK) == 1
    assert {(entry.by, entry.why) for entry in rows[4].history if not entry.is_failure} == {
        ("clerk", "glued")
    }


def test_break_is_not_made_up_for_all_at_once(fail: Fail) -> None:
    begin(fail(PermanentError("torn"), 6), per_second=2)
    replays.advance(DESK)

    let_time_pass(3600)

    assert replays.advance(DESK) == 4


def test_replay_ends_when_each_message_has_its_outcome(fail: Fail, flow: Flow, post: SimpleNamespace) -> None:
    rows = fail(PermanentError("torn"), 4)
    gone, dismissed, *others = rows
    replay = begin(rows)
    InboxEvent.objects.filter(pk=gone.pk).delete()
    InboxEvent.objects.filter(pk=dismissed.pk).dismiss(by="chief", why="no need")

    replays.advance(DESK)
    assert progress(replay) == (0, 2, 0, 0, 2)
    assert Replay.objects.get().ended_at is None
    flow.retry()
    replays.advance(DESK)

    assert progress(replay) == (0, 0, 2, 0, 2)
    assert Replay.objects.get().ended_at is not None
    assert len(post.calls) == 4 + len(others)


def test_replay_remembers_which_messages_failed_again_though_they_are_handled_later(
    fail: Fail, flow: Flow, post: SimpleNamespace
) -> None:
    rows = fail(PermanentError("torn"), 3)
    replay = begin(rows, per_second=2)
    replays.advance(DESK)
    post.fail = ValueError("no ink")
    flow.retry()
    replays.advance(DESK)
    post.fail = None
    flow.retry()
    let_time_pass()

    replays.advance(DESK)
    flow.retry()
    replays.advance(DESK)

    assert progress(replay) == (0, 0, 1, 2, 0)
    failed = replays.failed_again(replay, most=10)
    assert {row.pk for row in failed} == {row.pk for row in rows[:2]}
    assert {row.status for row in failed} == {InboxEvent.Status.HANDLED}


def test_message_that_was_handled_meanwhile_is_not_brought_back(
    fail: Fail, flow: Flow, post: SimpleNamespace
) -> None:
    rows = fail(ValueError("no ink"), 2)
    replay = begin(rows)
    flow.retry()

    replays.advance(DESK)

    assert progress(replay) == (0, 0, 2, 0, 0)
    assert all(entry.is_failure for row in rows for entry in row.history)


def test_stopped_replay_brings_nothing_more_back(fail: Fail, flow: Flow) -> None:
    replay = begin(fail(PermanentError("torn"), 3), per_second=1)
    replays.advance(DESK)

    replays.stop(replay, by="chief")
    let_time_pass()

    assert replays.advance(DESK) == 0
    assert progress(replay) == (0, 1, 0, 0, 2)
    assert Replay.objects.get().stopped_by == "chief"
    assert len(flow.parked) == 2


def test_relay_of_another_context_leaves_a_replay_alone(fail: Fail) -> None:
    begin(fail(PermanentError("torn")))

    assert replays.advance(["archive"]) == 0
    assert replays.advance([]) == 0


@pytest.mark.parametrize("per_second", [0, -1, replays.MOST_PER_SECOND + 1])
def test_replay_needs_a_pace(fail: Fail, per_second: int) -> None:
    rows = fail(PermanentError("torn"))

    with pytest.raises(ReplayRefusedError, match="is no pace"):
        begin(rows, per_second=per_second)


@pytest.mark.django_db
def test_replay_needs_messages() -> None:
    with pytest.raises(ReplayRefusedError, match="No message"):
        replays.begin("4f1d0c9a27be", by="clerk", per_second=1)


def test_problem_has_one_replay_at_a_time(fail: Fail, flow: Flow) -> None:
    rows = fail(PermanentError("torn"))
    first = begin(rows)

    with pytest.raises(ReplayRefusedError, match="Another replay"):
        begin(rows)

    replays.stop(first, by="clerk")
    assert progress(begin(rows)) == (1, 0, 0, 0, 0)


def test_guest_goes_on_with_replays_beside_the_relay(fail: Fail, flow: Flow) -> None:
    class Stop:
        """A stop that comes after the second look."""

        looks = 0

        def wait(self, seconds: float) -> bool:
            self.looks += 1
            return self.looks > 2

    begin(fail(PermanentError("torn"), 3))

    Problems().beside_relay(DESK, Stop())  # type: ignore[arg-type]  # it stands for an event

    assert len(flow.waiting) == 3
    assert any(isinstance(guest, Problems) for guest in flows.beside_relay())


def test_purge_deletes_replays_that_ended_long_ago(fail: Fail, capsys: pytest.CaptureFixture[str]) -> None:
    replay = begin(fail(PermanentError("torn"), 2))
    replays.stop(replay, by="clerk")
    call_command("purge_events")
    assert ReplayedMessage.objects.count() == 2

    Replay.objects.update(ended_at=timezone.now() - timedelta(days=40))
    call_command("purge_events")

    assert "Deleted 2 messages of replays.\n" in capsys.readouterr().out
    assert not Replay.objects.exists()


class Apart:
    """A router that sends the problems elsewhere."""

    def db_for_write(self, model: type, **hints: object) -> str | None:
        return "elsewhere" if model is ReplayedMessage else None


def test_check_finds_a_replay_that_could_not_commit_with_its_messages() -> None:
    assert checks.check_database(None) == []

    with override_settings(DATABASE_ROUTERS=[f"{__name__}.Apart"]):
        (found,) = checks.check_database(None)

    assert found.id == "microworkflows.E067"


def test_progress_adds_up() -> None:
    numbers = Progress(to_come=1, sent=2, handled=3, failed=4, left=5)

    assert (numbers.total, numbers.settled) == (15, 12)
