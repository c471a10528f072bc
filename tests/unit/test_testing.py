"""The tools for users' tests, under pytest and in test cases of Django's."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.test import TestCase

from microworkflows import DomainEvent, microworkflow, outbox
from microworkflows.testing import Flow, delivered


@pytest.mark.django_db
def test_flow_runs_until_all_is_quiet(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=UUID(int=1)))

    flow.run()

    assert flow.types() == ["letters.letter_written.v1", "desk.letter_stamped.v1"]
    assert flow.emitted(post.LetterStamped) == [post.LetterStamped(letter_id=UUID(int=1))]
    assert [name for name, _ in post.calls] == ["stamp_letter", "file_letter"]


def test_flow_fails_the_test_when_a_microworkflow_fails(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))

    with pytest.raises(
        AssertionError, match=r"desk.stamp_letter failed on letters.letter_written.v1: ValueError: no ink"
    ):
        flow.run()


def test_held_event_comes_late(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.hold(post.LetterStamped)

    flow.run()
    assert [name for name, _ in post.calls] == ["stamp_letter"]
    flow.release()
    flow.run()

    assert [name for name, _ in post.calls] == ["stamp_letter", "file_letter"]


def test_only_the_contexts_named_receive(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(contexts=["archive"])

    assert post.calls == []
    assert [event.type for event in flow.unheard] == ["letters.letter_written.v1"]


def test_flow_that_never_ends_is_told_so(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microworkflows.testing._MOST_EVENTS", 50)

    @microworkflow(on=post.LetterStamped, emits=[post.LetterStamped], context="desk")
    def stamp_again(event: object) -> DomainEvent:
        return cast(DomainEvent, post.LetterStamped(letter_id=uuid4()))

    flow.record(post.LetterWritten(letter_id=uuid4()))

    with pytest.raises(AssertionError, match="The flow does not end"):
        flow.run()


def test_delivered_event_has_an_envelope_for_calling_a_microworkflow_directly(post: SimpleNamespace) -> None:
    event = delivered(post.WrittenAtDesk(letter_id=UUID(int=1)), correlation_id="flow-1")

    assert event.meta.correlation_id == "flow-1"
    assert event.meta.source == "/letters"
    assert post.stamp_letter(event) == post.LetterStamped(letter_id=UUID(int=1))


class LetterTest(TestCase):
    """What a project writes that tests with Django's own runner."""

    @pytest.fixture(autouse=True)
    def take(self, post: SimpleNamespace) -> None:
        self.post = post

    def test_flow_runs_in_a_test_case_of_django(self) -> None:
        flow = Flow()
        with transaction.atomic():
            outbox.record(self.post.LetterWritten(letter_id=UUID(int=1)))

        flow.run()

        assert flow.emitted(self.post.LetterStamped) == [self.post.LetterStamped(letter_id=UUID(int=1))]
        assert (flow.waiting, flow.parked, flow.unheard) == ([], [], [])

    def test_flow_fails_in_a_test_case_of_django_when_a_microworkflow_fails(self) -> None:
        flow = Flow()
        self.post.fail = ValueError("no ink")
        flow.record(self.post.LetterWritten(letter_id=uuid4()))

        with pytest.raises(AssertionError, match=r"desk.stamp_letter failed on .*\n(.*\n)*.*raise made.fail"):
            flow.run()


@pytest.mark.parametrize("database", ["db", "transactional_db"])
def test_what_a_microworkflow_leaves_to_the_commit_is_done_after_it(
    database: str, post: SimpleNamespace, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(database)
    done = []

    @microworkflow(on=post.LetterStamped, context="desk")
    def send_letter(event: object) -> None:
        transaction.on_commit(lambda: done.append("sent"))

    @microworkflow(on=post.LetterStamped, context="post")
    def lose_letter(event: object) -> None:
        transaction.on_commit(lambda: done.append("lost"))
        raise ValueError("no stamp")

    flow = Flow()
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)

    assert done == ["sent"]
    assert [row.label for row in flow.waiting] == ["post.lose_letter"]


def test_tools_need_no_pytest() -> None:
    program = "import sys; sys.modules['pytest'] = None; import django; django.setup(); import microworkflows.testing"

    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
