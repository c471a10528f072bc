"""Failures of several causes, for the tests of the problems."""

from collections.abc import Callable
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db.models import Value

from microworkflows import Subject, times
from microworkflows.models import InboxEvent
from microworkflows.problems import replays
from microworkflows.testing import Flow

Fail = Callable[..., list[InboxEvent]]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time stand still for replays: on a busy machine they would bring back more."""
    now = times.now()
    clock = SimpleNamespace(now=lambda: now, database_now=lambda: Value(now), stored=times.stored)
    monkeypatch.setattr(replays, "times", clock)


@pytest.fixture
def fail(post: SimpleNamespace, flow: Flow) -> Fail:
    """Return a function that lets so many letters fail with an error, the oldest first; ``post.fail`` is None afterwards."""

    def fail(error: Exception, number: int = 1, name: str = "L") -> list[InboxEvent]:
        post.fail, failed = error, []
        for count in range(1, number + 1):
            about = Subject(kind="letter", key=uuid4(), name=f"{name}-{count}")
            meta = flow.record(post.LetterWritten(letter_id=uuid4()), about=about)
            flow.run(keep_failures=True)
            failed.append(InboxEvent.objects.get(msg_id=f"desk.stamp_letter:{meta.id}"))
        post.fail = None
        return failed

    return fail
