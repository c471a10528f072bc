"""What goes to the pool together, and what becomes of each message; pool and broker are stand-ins, Celery's parts are its own."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, WorkerLostError
from celery import Celery
from celery.exceptions import Reject, TaskRevokedError
from celery.worker import state
from celery.worker.request import Request
from kombu.asynchronous.semaphore import LaxBoundedSemaphore
from kombu.message import Message as KombuMessage
from pytest_django import Settings

from microworkflows import flows, holds, inbox
from microworkflows.worker import deaths, tasks
from microworkflows.worker.bundling import Bundler
from microworkflows.worker.names import BUNDLE_TASK, TASK
from microworkflows.worker.request import CALM, EventRequest


class Worker:
    """Celery's worker with a pool that does what it is told to when it is told to."""

    time_limit: float | None = None
    soft_time_limit: float | None = None

    def __init__(self, processes: int) -> None:
        self.pool = SimpleNamespace(num_processes=processes, apply_async=self._apply)
        self.semaphore = LaxBoundedSemaphore(processes)
        self._quick_acquire, self._quick_release = self.semaphore.acquire, self.semaphore.release
        self.calls: list[tuple[str, list[str]]] = []
        self.callbacks: list[dict[str, Callable[..., None]]] = []
        self.unsendable: set[str] = set()
        self.refused: list[tuple[str, str]] = []
        self.bundler = Bundler(self, self._process_task_sem, refuse=self._refuse)

    def _refuse(self, request: Request, error: Exception) -> None:
        self.refused.append((request.id, type(error).__name__))

    def _apply(self, target: object, args: tuple[Any, ...], **callbacks: Any) -> mock.Mock:
        name, _, _, (call, _, _), _, _ = args
        if any(event["id"] in self.unsendable for event in (call[0] if name == BUNDLE_TASK else call)):
            raise RecursionError("nested too deeply")
        events = call[0] if name == BUNDLE_TASK else [call[0]]
        self.calls.append((name, [event["id"] for event in events]))
        self.callbacks.append(callbacks)
        return mock.Mock()

    def _process_task(self, request: Any) -> None:
        try:
            request.execute_using_pool(self.pool)
        except TaskRevokedError:
            self._quick_release()

    def _process_task_sem(self, request: Any) -> None:
        self._quick_acquire(self._process_task, request)

    def come(self, *ids: str, **fields: Any) -> dict[str, Any]:
        """Let messages come; return what is noted of them."""
        made = {each: message(each, **fields) for each in ids}
        for request in made.values():
            self.bundler(request)
        return made

    def finish(self, number: int = 0, *, name: str = "callback", outcome: Any = (False, None, 0.1)) -> None:
        """Let the call that was begun first, or another, end."""
        callbacks = self.callbacks[number]
        callbacks[name](outcome)
        self.semaphore.release()


app = Celery(set_as_current=False)


def message(
    id_: str,
    *,
    queue: str = "desk",
    attempt: int | None = None,
    redelivered: bool = False,
    **kwargs: Any,
) -> Request:
    return Request(**message_fields(id_, queue=queue, attempt=attempt, redelivered=redelivered, **kwargs))


def message_fields(
    id_: str, *, queue: str = "desk", redelivered: bool = False, **kwargs: Any
) -> dict[str, Any]:
    return {
        "message": SimpleNamespace(
            delivery_info={"redelivered": redelivered}, properties={}, headers={}, body=b"", payload={}
        ),
        "app": app,
        "task": tasks.receive,
        "headers": {"id": id_, "task": TASK},
        "body": ([{"id": id_}], {"queue": queue, "attempt": None, **kwargs}, {}),
        "decoded": True,
        "on_ack": mock.Mock(),
        "on_reject": mock.Mock(),
    }


def test_message_that_finds_a_free_process_goes_to_it_at_once_and_alone() -> None:
    worker = Worker(2)

    worker.come("a", "b")

    assert worker.calls == [(TASK, ["a"]), (TASK, ["b"])]


def test_what_waited_meanwhile_goes_to_the_process_that_becomes_free_together() -> None:
    worker = Worker(1)
    worker.come("a", "b", "c", "d")

    worker.finish()

    assert worker.calls == [(TASK, ["a"]), (BUNDLE_TASK, ["b", "c", "d"])]


def test_each_process_has_its_share() -> None:
    worker = Worker(2)
    worker.come(*"abcdefgh")

    worker.finish(0)
    worker.finish(1)

    assert worker.calls[2:] == [(BUNDLE_TASK, ["c", "d", "e"]), (BUNDLE_TASK, ["f", "g"])]


def test_bundle_is_no_larger_than_the_setting_says(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"BUNDLE": 2}
    worker = Worker(1)
    worker.come(*"abcde")

    for number in range(3):
        worker.finish(number)

    assert worker.calls == [(TASK, ["a"]), (BUNDLE_TASK, ["b", "c"]), (BUNDLE_TASK, ["d", "e"])]


def test_bundle_holds_messages_of_one_context_and_nobody_is_passed_over() -> None:
    worker = Worker(1)
    worker.come("a")
    worker.come("b", queue="archive")
    worker.come("c")
    worker.come("d", queue="archive")

    worker.finish(0)
    worker.finish(1)

    assert worker.calls[1:] == [(BUNDLE_TASK, ["b", "d"]), (TASK, ["c"])]


@pytest.mark.parametrize(
    "fields",
    [{"redelivered": True}, {"attempt": 2}, {"last_delivery": True}, {"queue": "monolith"}],
    ids=lambda fields: next(iter(fields)),
)
def test_message_that_may_do_harm_to_others_goes_alone(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr(flows.router, "queues", lambda: ("monolith",))
    worker = Worker(1)
    worker.come("a")
    worker.come("b", "c", **fields)

    worker.finish(0)
    worker.finish(1)

    assert worker.calls == [(TASK, ["a"]), (TASK, ["b"]), (TASK, ["c"])]


@pytest.mark.parametrize("limit", ["time_limit", "soft_time_limit"])
def test_where_there_are_time_limits_each_goes_alone(limit: str) -> None:
    worker = Worker(1)
    setattr(worker, limit, 30.0)
    worker.come("a", "b", "c")

    worker.finish(0)
    worker.finish(1)

    assert worker.calls == [(TASK, ["a"]), (TASK, ["b"]), (TASK, ["c"])]


def test_bundles_of_one_are_none(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"BUNDLE": 1}
    worker = Worker(1)
    worker.come("a", "b", "c")

    worker.finish(0)
    worker.finish(1)

    assert worker.calls == [(TASK, ["a"]), (TASK, ["b"]), (TASK, ["c"])]


def test_each_message_of_a_bundle_is_acked_when_it_is_done() -> None:
    worker = Worker(1)
    made = worker.come("a", "b", "c")
    worker.finish(0)
    made["b"].on_ack.assert_not_called()

    worker.finish(1)

    for each in "abc":
        made[each].on_ack.assert_called_once()
        made[each].on_reject.assert_not_called()


def test_each_message_of_a_bundle_goes_back_when_its_process_dies() -> None:
    worker = Worker(1)
    made = worker.come("a", "b", "c")
    worker.finish(0)

    worker.finish(1, name="error_callback", outcome=failure(WorkerLostError("signal 9")))

    for each in "bc":
        made[each].on_ack.assert_not_called()
        made[each].on_reject.assert_called_once()
        assert made[each].on_reject.call_args.args[-1] is True


def test_who_ends_the_process_of_one_message_gives_the_others_back() -> None:
    worker = Worker(1)
    made = worker.come("a", "b", "c")
    worker.finish(0)
    made["b"]._already_revoked = True

    worker.finish(1, name="error_callback", outcome=failure(Terminated("SIGTERM")))

    made["b"].on_reject.assert_not_called()
    made["c"].on_ack.assert_not_called()
    made["c"].on_reject.assert_called_once()
    assert made["c"].on_reject.call_args.args[-1] is True


def test_message_that_was_revoked_while_it_waited_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(1)
    made = worker.come("a", "b", "c", "d")
    made["c"]._already_revoked = True

    worker.finish(0)

    assert worker.calls[1] == (BUNDLE_TASK, ["b", "d"])


def test_callback_that_raises_keeps_no_other_message_from_its_ack() -> None:
    worker = Worker(1)
    made = worker.come("a", "b", "c")
    worker.finish(0)
    made["b"].on_ack.side_effect = ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        worker.finish(1)

    made["c"].on_ack.assert_called_once()


def test_connection_that_is_lost_takes_along_what_waited_and_no_turn() -> None:
    worker = Worker(1)
    worker.come("a", "b", "c")

    worker.semaphore.clear()
    worker.bundler.clear()
    worker.come("d", "e", "f")  # the semaphore is new, so the first of them finds a process free
    worker.finish(1)

    assert worker.calls == [(TASK, ["a"]), (TASK, ["d"]), (BUNDLE_TASK, ["e", "f"])]


def test_message_that_cannot_be_sent_to_a_process_is_refused_and_takes_no_turn() -> None:
    worker = Worker(1)
    worker.unsendable = {"a"}

    worker.come("a", "b")

    assert worker.refused == [("a", "RecursionError")]
    assert worker.calls == [(TASK, ["b"])]


def test_bundle_that_cannot_be_sent_is_sent_one_by_one() -> None:
    worker = Worker(1)
    worker.unsendable = {"c"}
    worker.come("a", "b", "c", "d")

    for number in range(3):
        worker.finish(number)

    assert worker.refused == [("c", "RecursionError")]
    assert worker.calls == [(TASK, ["a"]), (TASK, ["b"]), (TASK, ["d"])]


def test_what_waited_too_long_is_withdrawn_and_does_not_run() -> None:
    worker = Worker(1)
    worker.come("a", "b", "c")
    worker.come("d", redelivered=True)

    withdrawn = worker.bundler.withdraw(before=time.monotonic() + 1)
    worker.come("e")
    worker.finish()

    assert [request.id for request in withdrawn] == ["b", "c", "d"]
    assert worker.calls == [(TASK, ["a"]), (TASK, ["e"])]


def test_second_delivery_of_what_a_process_has_in_hand_takes_no_process() -> None:
    worker = Worker(2)
    first = worker.come("a")["a"]
    worker.callbacks[0]["accept_callback"](1, time.monotonic())
    worker.come("a", redelivered=True)
    worker.come("b")
    worker.bundler.let_go()
    assert worker.calls == [(TASK, ["a"]), (TASK, ["b"])]

    state.task_ready(first)
    worker.finish(1)
    worker.bundler.let_go()

    assert worker.calls[2:] == [(TASK, ["a"])]


def test_failure_of_dealing_with_a_failure_gives_the_message_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request: Any = EventRequest(**message_fields("a", redelivered=True))

    request.on_failure(failure(MemoryError("in the process")))

    request.on_reject.assert_called_once()
    assert request.on_reject.call_args.args[-1] is True
    assert deaths.seen("a") == 1
    assert "could not be dealt with" in caplog.text


@pytest.mark.parametrize(
    ("message", "deaths_seen"), [({"redelivered": True}, 1), ({"attempt": 2}, 1), ({}, 0)]
)
def test_death_counts_against_a_message_that_had_its_process_for_itself(
    monkeypatch: pytest.MonkeyPatch, message: dict[str, Any], deaths_seen: int
) -> None:
    monkeypatch.setattr(deaths, "_seen", {})
    request: Any = EventRequest(**message_fields("a", **message))

    request.on_failure(failure(WorkerLostError("it was killed")))

    assert deaths.seen("a") == deaths_seen


def test_late_ack_is_told_calmly(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    gone: Any = KombuMessage(channel=mock.Mock(no_ack_consumers=set()), delivery_tag="7")
    gone.channel.basic_ack.side_effect = ConnectionError("it is gone")

    gone.ack_log_error(CALM, (ConnectionError,))

    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert (
        record.getMessage()
        == "delivery 7 was given back when its connection was lost (it is gone); it comes again"
    )


def test_error_that_nobody_foresaw_sends_all_back_to_come_again_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox, "receive_bundle", mock.Mock(side_effect=TypeError("a bug")))
    monkeypatch.setattr(holds, "look", lambda: None)
    monkeypatch.setattr(tasks, "_renew_connections", lambda: None)
    monkeypatch.setattr(holds, "look", lambda: None)
    receive: Any = tasks.receive_bundle

    with pytest.raises(Reject) as rejected:
        receive([{"id": "a", "type": "x.y.v1"}, {"id": "b", "type": "x.y.v1"}], queue="desk")

    assert cast("Any", rejected.value).requeue
    assert "2 messages to desk, the first x.y.v1 a" in caplog.text
    assert "TypeError: a bug" in caplog.text


def failure(error: Exception) -> ExceptionInfo:
    with pytest.raises(type(error)) as caught:
        raise error
    return ExceptionInfo((type(error), error, caught.tb))
