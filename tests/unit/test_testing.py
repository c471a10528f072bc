"""The fixtures that users import."""

from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import pytest

from microworkflows import DomainEvent, microworkflow
from microworkflows.models import OutboxEvent
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
    assert OutboxEvent.objects.unheard().count() == 1


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
