"""``@microworkflow(name=…)``: the name by which the inbox knows a microworkflow, whatever its function is called."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from microworkflows import inbox, microworkflow, registry
from microworkflows.checks import declarations
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent
from microworkflows.testing import Flow


def test_renamed_function_goes_on_with_what_waits_and_what_was_handled(
    post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    post.fail = PermanentError("no such letter")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    handled, parked = (
        row.body for row in InboxEvent.objects.many().of_workflow("desk.stamp_letter").order_by("pk")
    )
    registry.clear()
    seen = []

    @microworkflow(on=post.WrittenAtDesk, context="desk", name="stamp_letter")
    def frank_letter(event: Any) -> None:
        seen.append(str(event.meta.id))

    inbox.receive(handled, queue="desk")
    InboxEvent.objects.parked().replay(by="clerk")
    inbox.receive(parked, queue="desk", attempt=0, label="desk.stamp_letter")

    assert seen == [parked["id"]]
    assert not InboxEvent.objects.failing().exists()
    assert InboxEvent.objects.of_workflow("desk.stamp_letter").count() == 2
    assert repr(frank_letter) == "<microworkflow desk.stamp_letter on letters.letter_written.v1>"


def test_two_of_one_name_are_told_with_their_functions(post: SimpleNamespace) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk", name="stamp_letter")
    def frank_letter(event: Any) -> None: ...

    (found,) = declarations.check_labels()

    assert found.id == "microworkflows.E014"
    assert "post.<locals>.stamp_letter" in found.msg
    assert "<locals>.frank_letter" in found.msg


@pytest.mark.parametrize("name", ["", "desk.stamp", "two words", 3])
def test_name_that_is_none_is_refused_where_it_stands(post: SimpleNamespace, name: Any) -> None:
    with pytest.raises(TypeError, match="is no name of a function"):
        microworkflow(on=post.WrittenAtDesk, name=name)
