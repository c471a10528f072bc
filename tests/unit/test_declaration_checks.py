"""The checks of what is declared, each by its stable id."""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import GenericAlias, ModuleType, SimpleNamespace
from uuid import UUID

import pytest
from django.apps import AppConfig, apps
from django.core.checks import CheckMessage

from microworkflows import DomainEvent, IncomingEvent, deadline, microworkflow
from microworkflows.checks import declarations


def _package(folder: Path) -> ModuleType:
    """Return a package that was not imported, for an app in a folder."""
    package = ModuleType(folder.name)
    package.__file__ = str(folder / "__init__.py")
    return package


def _ids(check: Callable[[], list[CheckMessage]]) -> list[str | None]:
    return [message.id for message in check()]


def test_e010_type_announced_twice(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_duplicate_types) == []

    class LetterComposed(DomainEvent, type="letters.letter_written.v1"):
        pass

    (problem,) = declarations.check_duplicate_types()
    assert problem.id == "microworkflows.E010"
    assert "LetterComposed" in problem.msg
    assert "LetterWritten" in problem.msg


def test_e011_type_under_the_name_of_another_app(empty_registry: None) -> None:
    class Paid(DomainEvent, type="orders.paid.v1"):
        __module__ = "payments.events"

    (problem,) = declarations.check_owners()

    assert problem.id == "microworkflows.E011"
    assert problem.hint is not None
    assert "payments.paid.v1" in problem.hint


def test_e012_emitting_what_is_not_announced_here(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_emitted_types) == []

    @microworkflow(on=post.WrittenAtDesk, emits=[post.LetterWritten], context="desk")
    def forge_letter(event: object) -> None: ...

    @microworkflow(on=post.WrittenAtDesk, emits=[post.WrittenAtDesk], context="desk")
    def echo_letter(event: object) -> None: ...

    assert _ids(declarations.check_emitted_types) == ["microworkflows.E012"] * 2


def test_e013_reading_that_its_announcer_does_not_satisfy(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_readings) == []

    class WrittenWithColour(IncomingEvent, type="letters.letter_written.v1"):
        letter_id: UUID
        colour: str

    (problem,) = declarations.check_readings()
    assert problem.id == "microworkflows.E013"
    assert "colour is required but not announced" in problem.msg


def test_e014_label_taken_twice_or_too_long(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_labels) == []

    def stamp_letter(event: object) -> None: ...

    microworkflow(on=post.WrittenAtDesk, context="desk")(stamp_letter)
    stamp_letter.__name__ = "s" * 59
    microworkflow(on=post.WrittenAtDesk, context="desk")(stamp_letter)

    assert _ids(declarations.check_labels) == ["microworkflows.E014"] * 2


def test_w020_trigger_that_its_installed_context_does_not_announce(empty_registry: None) -> None:
    class Accepted(IncomingEvent, type="orders.order_accepted.v2"):
        pass

    class Elsewhere(IncomingEvent, type="warehouse.emptied.v1"):
        pass

    for event in (Accepted, Elsewhere):
        microworkflow(on=event, context="payments")(lambda event: None)

    (problem,) = declarations.check_triggers()
    assert problem.id == "microworkflows.W020"
    assert "orders.order_accepted.v2" in problem.msg


def test_w020_misspelt_context_and_misspelt_type(post: SimpleNamespace) -> None:
    class WrittenByLeters(IncomingEvent, type="leters.letter_written.v1"):
        pass

    class OrderAcepted(IncomingEvent, type="orders.order_acepted.v1"):
        pass

    class OrderAccepted(DomainEvent, type="orders.order_accepted.v1"):
        pass

    for event in (WrittenByLeters, OrderAcepted):
        microworkflow(on=event, context="desk")(lambda event: None)

    hints = {problem.hint for problem in declarations.check_triggers()}

    assert [hint.partition("?")[0] for hint in sorted(filter(None, hints))] == [
        "Do you mean 'letters'",
        "Do you mean 'orders.order_accepted.v1'",
    ]


def test_w021_event_that_nobody_hears(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_heard) == []

    class LetterBurnt(DomainEvent, type="letters.letter_burnt.v1"):
        pass

    (problem,) = declarations.check_heard()
    assert problem.id == "microworkflows.W021"
    assert "letters.letter_burnt.v1" in problem.msg


def test_w022_reading_that_triggers_nothing(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_unused_readings) == []

    class WrittenToo(IncomingEvent, type="letters.letter_written.v1"):
        pass

    assert _ids(declarations.check_unused_readings) == ["microworkflows.W022"]


def test_w023_trigger_that_is_another_contexts_own_class(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_boundaries) == []

    @microworkflow(on=post.LetterWritten, context="desk")
    def weigh_letter(event: object) -> None: ...

    @microworkflow(on=post.LetterStamped, context="desk")
    def send_letter(event: object) -> None: ...

    (problem,) = declarations.check_boundaries()
    assert problem.id == "microworkflows.W023"
    assert "desk.weigh_letter is triggered by" in problem.msg
    assert 'class LetterWritten(IncomingEvent, type="letters.letter_written.v1")' in str(problem.hint)


def test_w024_module_that_nobody_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declaring = (
        "from microworkflows import microworkflow\n\n\n@microworkflow(on=object)\ndef pay(event): ...\n"
    )
    files = {
        "__init__.py": "",
        "workflows.py": declaring,
        "steps/paying.py": declaring,
        "facts.py": "from microworkflows import DomainEvent\n\nclass Paid(DomainEvent, type='bank.paid.v1'): ...\n",
        "others.py": "from another_library import DomainEvent\n\nclass Paid(DomainEvent): ...\n",
        "views.py": "# how a @microworkflow( is called\n",
        "tests/test_paying.py": declaring,
        "migrations/0001_initial.py": declaring,
    }
    for name, text in files.items():
        path = tmp_path / "bank" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    app = AppConfig("bank", _package(tmp_path / "bank"))
    monkeypatch.setattr(apps, "get_app_configs", lambda: [app])
    monkeypatch.setitem(sys.modules, "bank.workflows", sys)

    problems = declarations.check_imports()

    assert {problem.id for problem in problems} == {"microworkflows.W024"}
    assert [problem.msg.partition("nothing imports ")[2].partition(",")[0] for problem in problems] == [
        "bank.facts",
        "bank.steps.paying",
    ]


def test_w025_events_that_go_round_in_a_circle(post: SimpleNamespace) -> None:
    assert _ids(declarations.check_cycles) == []

    @microworkflow(on=post.StampedAtArchive, emits=[post.LetterWritten], context="letters")
    def answer_letter(event: object) -> None: ...

    (problem,) = declarations.check_cycles()
    assert problem.id == "microworkflows.W025"
    for part in (
        "letters.letter_written.v1 → desk.stamp_letter → desk.letter_stamped.v1",
        "letters.answer_letter",
        "circle",
    ):
        assert part in f"{problem.msg} {problem.msg.partition(': ')[2].rstrip('.')} "


def test_w026_annotation_that_names_other_events_than_emits(post: SimpleNamespace) -> None:
    written, stamped = post.LetterWritten, post.LetterStamped

    def told(annotation: object, *emits: object) -> list[str]:
        def answer(event: object) -> None: ...

        answer.__annotations__["return"] = annotation
        declared = microworkflow(on=post.WrittenAtDesk, emits=emits, context="desk")(answer)  # type: ignore[arg-type]
        problems = [problem for problem in declarations.check_annotations() if problem.obj is declared]
        return [problem.msg for problem in problems]

    for annotation, *emits in (
        (stamped, stamped),
        (stamped | None, stamped),
        (GenericAlias(list, (stamped | written,)), stamped, written),
        (GenericAlias(tuple, (stamped, ...)) | None, stamped),
        (None,),
        (DomainEvent, stamped),
        (list[DomainEvent], stamped),
        ("NotThere", stamped),
        (object, stamped),
    ):
        assert told(annotation, *emits) == []
    assert told(stamped | written, stamped) == [
        "desk.answer emits LetterStamped, and by its annotation it returns LetterStamped, LetterWritten."
    ]
    assert told(None, stamped) == [
        "desk.answer emits LetterStamped, and by its annotation it returns nothing."
    ]
    assert told(GenericAlias(list, (stamped,))) == [
        "desk.answer emits nothing, and by its annotation it returns LetterStamped."
    ]


def test_deadline_to_which_nothing_declared_leads_is_found(post: SimpleNamespace) -> None:
    deadline(post.LetterStamped, within=timedelta(minutes=1), of=post.LetterWritten)
    assert [each.id for each in declarations.check_deadlines()] == []

    deadline(post.LetterWritten, within=timedelta(minutes=1), of=post.LetterStamped)

    (found,) = declarations.check_deadlines()
    assert found.id == "microworkflows.W080"
    assert "letters.letter_written.v1 after desk.letter_stamped.v1" in found.msg
