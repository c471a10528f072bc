from collections.abc import Iterator
from types import SimpleNamespace
from uuid import uuid4

import pytest

from microworkflows import DomainEvent, IncomingEvent, microworkflow, registry
from microworkflows.errors import UndeclaredEventError


def test_calling_a_microworkflow_calls_the_plain_function(post: SimpleNamespace) -> None:
    letter_id = uuid4()

    emitted = post.stamp_letter(post.WrittenAtDesk(letter_id=letter_id))

    assert emitted == post.LetterStamped(letter_id=letter_id)
    assert post.stamp_letter.__name__ == "stamp_letter"


def test_label_is_context_and_name(post: SimpleNamespace) -> None:
    assert post.stamp_letter.label == "desk.stamp_letter"
    assert repr(post.stamp_letter) == "<microworkflow desk.stamp_letter on letters.letter_written.v1>"


def test_context_is_the_app_that_the_function_lives_in() -> None:
    by_label = {workflow.label: workflow for workflow in registry.workflows()}

    assert by_label["payments.take_payment"].context == "payments"


def test_function_outside_every_app_must_name_its_context(post: SimpleNamespace) -> None:
    @microworkflow(on=post.WrittenAtDesk)
    def lose_letter(event: object) -> None:
        raise NotImplementedError

    with pytest.raises(LookupError, match="lives in no installed app"):
        _ = lose_letter.context


@pytest.mark.parametrize("wrap", [lambda event: event, lambda event: [event], lambda event: (event,)])
def test_microworkflow_returns_one_event_or_several(post: SimpleNamespace, wrap: object) -> None:
    event = post.LetterStamped(letter_id=uuid4())

    assert post.stamp_letter.emitted(wrap(event)) == [event]  # type: ignore[operator]


def test_microworkflow_may_return_nothing(post: SimpleNamespace) -> None:
    assert post.stamp_letter.emitted(None) == []


def test_returning_what_was_not_declared_is_an_error_that_names_it(post: SimpleNamespace) -> None:
    with pytest.raises(
        UndeclaredEventError, match=r"desk.stamp_letter returned LetterWritten but declares LetterStamped"
    ):
        post.stamp_letter.emitted(post.LetterWritten(letter_id=uuid4()))
    with pytest.raises(UndeclaredEventError, match=r"archive.file_letter returned str but declares nothing"):
        post.file_letter.emitted("letter")


def test_listeners_are_those_of_the_contexts_asked_for(post: SimpleNamespace) -> None:
    assert registry.listeners("letters.letter_written.v1") == [post.stamp_letter]
    assert registry.listeners("letters.letter_written.v1", contexts=["archive"]) == []
    assert registry.contexts() == ["archive", "desk", "letters"]
    assert registry.subscriptions("desk") == ["letters.letter_written.v1"]


def test_declaration_that_could_not_work_is_refused_where_it_stands(post: SimpleNamespace) -> None:
    async def wait(event: object) -> None: ...

    def yields(event: object) -> Iterator[object]:
        yield event

    def two(event: object, order: object) -> None: ...

    def none() -> None: ...

    def keyword(*, event: object) -> None: ...

    for function, said in (
        (wait, "wait is async"),
        (yields, "yields yields; a microworkflow returns"),
        (two, r"two\(event: object, order: object\) -> None cannot be called with the event alone: missing"),
        (none, "too many positional arguments"),
        (keyword, "cannot be called with the event alone"),
    ):
        with pytest.raises(TypeError, match=said):
            microworkflow(on=post.WrittenAtDesk, context="desk")(function)  # type: ignore[arg-type]


def test_function_may_take_more_if_that_has_defaults(post: SimpleNamespace) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def burn_letter(event: object, slowly: bool = True, *rest: object, **others: object) -> None: ...

    assert burn_letter.label == "desk.burn_letter"


def test_trigger_is_one_class_of_events(post: SimpleNamespace) -> None:
    class Untyped(IncomingEvent):
        pass

    for on, said in (
        ([post.WrittenAtDesk, post.LetterStamped], "names 2 events which are not versions of one"),
        ("letters.letter_written.v1", "on='letters.letter_written.v1' is no event"),
        (Untyped, r"Untyped'> is no event"),
        (post.LetterStamped(letter_id=uuid4()), "is no event"),
    ):
        with pytest.raises(TypeError, match=said):
            microworkflow(on=on)  # type: ignore[arg-type]


def test_emits_is_a_list_of_events(post: SimpleNamespace) -> None:
    for emits, said in (
        (post.LetterStamped, "is no list"),
        ([DomainEvent], "DomainEvent'>, which is no event"),
        (["letters.letter_stamped.v1"], "'letters.letter_stamped.v1', which is no event"),
    ):
        with pytest.raises(TypeError, match=said):
            microworkflow(on=post.WrittenAtDesk, emits=emits)  # type: ignore[arg-type]
