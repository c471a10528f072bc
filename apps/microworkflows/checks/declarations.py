"""Checks of what is declared: a broken contract between contexts is found at start, not by the first event."""

import re
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterator
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Warning, register

from microworkflows import conf, registry, schemas
from microworkflows.cloudevents import context_of
from microworkflows.comparison import Difference
from microworkflows.events import DomainEvent, IncomingEvent, versions_of
from microworkflows.models import OutboxEvent, message_id
from microworkflows.workflows import Microworkflow

TAG = "microworkflows"
_DECLARATION = re.compile(
    r"^(?:@(?:\w+\.)*microworkflow\(|class \w+\((?:\w+\.)*(?:DomainEvent|IncomingEvent)\b)", re.MULTILINE
)
_NOT_SEARCHED = frozenset({"migrations", "tests", "test", "conftest.py", "tests.py"})
_LIKENESS = 0.75
_LONGEST_LABEL = 100 - len(message_id("", OutboxEvent._meta.pk.default()))


@register(TAG)
def check_duplicate_types(**kwargs: Any) -> list[CheckMessage]:
    """E010: two classes announce the same type."""
    count = Counter(event.event_type for event in registry.announcements())
    return [
        Error(
            f"{event_type} is announced by {number} classes: {', '.join(_named(event_type))}.",
            hint="Keep one. A change of meaning needs a new version, which is another type.",
            id="microworkflows.E010",
        )
        for event_type, number in count.items()
        if number > 1
    ]


@register(TAG)
def check_owners(**kwargs: Any) -> list[CheckMessage]:
    """E011: the type of a domain event does not begin with the label of the app that announces it."""
    return [
        Error(
            f"{event.__module__}.{event.__qualname__} lives in the app {app.label!r} but has the type "
            f"{event.event_type!r}.",
            hint=f"Name it {app.label}.{event.event_type.partition('.')[2]}: the relay goes by the first part.",
            obj=event,
            id="microworkflows.E011",
        )
        for event in registry.announcements()
        if (app := apps.get_containing_app_config(event.__module__)) is not None
        and app.label != event.event_type.partition(".")[0]
    ]


@register(TAG)
def check_emitted_types(**kwargs: Any) -> list[CheckMessage]:
    """E012: a microworkflow emits an event that its own context does not announce."""
    return [
        Error(
            f"{workflow.label} emits {event.__qualname__}, which {workflow.context} does not announce.",
            hint=f"A context announces its own facts: declare a DomainEvent with a type that begins with "
            f"{workflow.context!r}.",
            obj=workflow,
            id="microworkflows.E012",
        )
        for workflow in registry.workflows()
        for event in workflow.emits
        if not (
            registry.announced().get(event.event_type) is event
            and event.event_type.partition(".")[0] == workflow.context
        )
    ]


@register(TAG)
def check_readings(**kwargs: Any) -> list[CheckMessage]:
    """E013: a reading demands more than the announcing context promises (when both are installed)."""
    return [
        Error(
            f"{reading.__module__}.{reading.__qualname__} does not fit what {reading.event_type} announces: {schemas.words(each)}.",
            hint="Change the reading, or let the announcer publish a new version.",
            obj=reading,
            id="microworkflows.E013",
        )
        for reading, each in _misfits()
        if each.is_certain
    ]


@register(TAG)
def check_comparable(**kwargs: Any) -> list[CheckMessage]:
    """E015: nobody can tell whether a reading fits its announcement (when both are installed)."""
    return [
        Error(
            f"Nobody can tell whether {reading.__module__}.{reading.__qualname__} fits what {reading.event_type} announces: "
            f"{schemas.words(each)}.",
            hint="Write the reading in the words of the announcement, or let it ask for less there.",
            obj=reading,
            id="microworkflows.E015",
        )
        for reading, each in _misfits()
        if not each.is_certain
    ]


def _misfits() -> Iterator[tuple[type[IncomingEvent], Difference]]:
    for reading in registry.readings():
        if (announced := registry.announced().get(reading.event_type)) is not None:
            yield from ((reading, each) for each in schemas.misfits(reading=reading, announced=announced))


@register(TAG)
def check_labels(**kwargs: Any) -> list[CheckMessage]:
    """E014: two microworkflows share a label, or one is too long for the inbox."""
    count = Counter(workflow.label for workflow in registry.workflows())
    shared: list[CheckMessage] = [
        Error(
            f"{number} microworkflows are called {label}: the inbox would take one for the other. They are "
            f"{', '.join(_functions(label))}.",
            hint="Give the newer one another name, by @microworkflow(name=...) or that of its function: the older one has rows in the "
            "inbox.",
            id="microworkflows.E014",
        )
        for label, number in count.items()
        if number > 1
    ]
    return shared + [
        Error(
            f"The label {label} has {len(label)} characters; the inbox has room for {_LONGEST_LABEL}.",
            hint="Choose a shorter name.",
            id="microworkflows.E014",
        )
        for label in count
        if len(label) > _LONGEST_LABEL
    ]


@register(TAG)
def check_triggers(**kwargs: Any) -> list[CheckMessage]:
    """W020: a microworkflow waits for an event that its installed context does not announce, or of a misspelt context."""
    installed = {app.label for app in apps.get_app_configs()}
    warnings: list[CheckMessage] = []
    awaited = [(workflow, each) for workflow in registry.workflows() for each in workflow.types]
    for workflow, event_type in awaited:
        context = context_of(event_type)
        if event_type in registry.announced():
            continue
        if context in installed:
            its_own = [each for each in registry.announced() if context_of(each) == context]
            likely = get_close_matches(event_type, its_own, n=1, cutoff=_LIKENESS)
            problem = f"which the installed context {context!r} does not announce."
            hint = "Is it misspelt, of another version, or declared outside the app's events.py?"
        else:
            likely = get_close_matches(context, {*registry.contexts()} - {context}, n=1, cutoff=_LIKENESS)
            problem = f"and no app {context!r} is installed."
            hint = "Silence this if another service is called so."
            if not likely:  # another service, most likely
                continue
        meant = f"Do you mean {likely[0]!r}? " if likely else ""
        warnings.append(
            Warning(
                f"{workflow.label} waits for {event_type}, {problem}",
                hint=meant + hint,
                obj=workflow,
                id="microworkflows.W020",
            )
        )
    return warnings


@register(TAG)
def check_boundaries(**kwargs: Any) -> list[CheckMessage]:
    """W023: a microworkflow is triggered by another context's own class, so that its context imports the other."""
    return [
        Warning(
            f"{workflow.label} is triggered by {reading.__module__}.{reading.__qualname__}, a class of the context "
            f"{context_of(reading.event_type)!r}.",
            hint=f"Contexts import nothing of each other. Declare a reading in {workflow.context}, "
            f'class {reading.__name__}(IncomingEvent, type="{reading.event_type}"), with the fields that it uses.',
            obj=workflow,
            id="microworkflows.W023",
        )
        for workflow in registry.workflows()
        for reading in workflow.readings
        if issubclass(reading, DomainEvent) and context_of(reading.event_type) != workflow.context
    ]


@register(TAG)
def check_imports(**kwargs: Any) -> list[CheckMessage]:
    """W024: a module of an app declares events or microworkflows, and nobody imports it."""
    return [
        Warning(
            f"{path} declares events or microworkflows, and nothing imports {module}, so they do not exist.",
            hint="The kit imports the modules events and workflows of each installed app: move the declarations there, or "
            "import their module from there.",
            obj=app,
            id="microworkflows.W024",
        )
        for app in apps.get_app_configs()
        for path, module in _modules(app)
        if module not in sys.modules and _declares(path.read_text(errors="replace"))
    ]


def _declares(text: str) -> bool:
    return __name__.partition(".")[0] in text and _DECLARATION.search(text) is not None


def _modules(app: AppConfig) -> Iterator[tuple[Path, str]]:
    """Yield path and name of each module of an app of the project; tests and installed packages are left out."""
    folder = Path(app.path)
    if any(folder.is_relative_to(sysconfig.get_path(each)) for each in ("purelib", "platlib", "stdlib")):
        return
    if app.name.partition(".")[0] == __name__.partition(".")[0]:
        return
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if not _NOT_SEARCHED.intersection(path.relative_to(folder).parts) and not path.name.startswith(
            "test_"
        ):
            yield path, ".".join((app.name, *(parts[:-1] if parts[-1] == "__init__" else parts)))


@register(TAG)
def check_cycles(**kwargs: Any) -> list[CheckMessage]:
    """W025: the declared events lead back to themselves, so that a flow may never end."""
    causes: dict[str, set[str]] = defaultdict(set)
    for workflow in registry.workflows():
        for event_type in workflow.emitted_types:
            causes[event_type] |= {workflow.label}
        causes[workflow.label] |= set(workflow.types)
    try:
        TopologicalSorter(causes).prepare()
    except CycleError as error:
        return [
            Warning(
                f"The declared events go round in a circle: {' → '.join(error.args[1])}.",
                hint="Is there always a time at which a microworkflow of it emits nothing? Then silence this. A flow is stopped "
                f"after {conf.current().max_hops} events that cause each other (MICROWORKFLOWS['MAX_HOPS']).",
                id="microworkflows.W025",
            )
        ]
    return []


@register(TAG)
def check_annotations(**kwargs: Any) -> list[CheckMessage]:
    """W026: the return annotation of a microworkflow names other events than its ``emits``."""
    return [
        Warning(
            f"{workflow.label} emits {_names(workflow.emits)}, and by its annotation it returns {_names(returned)}.",
            hint="Correct emits=[...] or the annotation: it may return what emits names, and nothing else.",
            obj=workflow,
            id="microworkflows.W026",
        )
        for workflow in registry.workflows()
        if (returned := _returned(workflow)) is not None and returned != set(workflow.emits)
    ]


def _returned(workflow: Microworkflow[Any]) -> set[type[DomainEvent]] | None:
    """Return the events that a microworkflow's annotation names; None if it names no class of them, or has none."""
    try:
        annotation = get_type_hints(workflow.function)["return"]
    except (KeyError, NameError, AttributeError, TypeError):  # none, or for the type checker alone
        return None
    found: set[type[DomainEvent]] = set()
    coming = [annotation]
    while coming:
        part = coming.pop()
        if arguments := get_args(part):
            coming += [each for each in arguments if each is not Ellipsis]
        elif isinstance(part, type) and issubclass(part, DomainEvent) and part is not DomainEvent:
            found.add(part)
        elif part is not NoneType:
            return None
    return found


def _names(events: "set[type[DomainEvent]] | tuple[type[DomainEvent], ...]") -> str:
    return ", ".join(sorted(event.__name__ for event in events)) or "nothing"


@register(TAG)
def check_heard(**kwargs: Any) -> list[CheckMessage]:
    """W021: an event that no installed context listens to; it will be marked unheard unless somebody else does.

    A new version whose fact is heard in one before needs no listener yet; one before that nobody hears is needed no longer.
    """
    heard = {each for workflow in registry.workflows() for each in workflow.types}
    followed = {event.previous_version for event in registry.announcements()}
    return [
        Warning(
            f"No installed context listens to {event_type}.",
            hint="A newer version is announced with it. If no other service listens either, delete it, and to_previous of the newer."
            if event in followed
            else "Is the app that does in INSTALLED_APPS? Silence this where another service listens.",
            obj=event,
            id="microworkflows.W021",
        )
        for event_type, event in registry.announced().items()
        if heard.isdisjoint(each.event_type for each in versions_of(event))
        or (event in followed and event_type not in heard)
    ]


@register(TAG)
def check_unused_readings(**kwargs: Any) -> list[CheckMessage]:
    """W022: a reading that triggers nothing."""
    used = {each for workflow in registry.workflows() for each in versions_of(workflow.on)}
    return [
        Warning(
            f"{reading.__module__}.{reading.__qualname__} triggers no microworkflow.",
            hint="Delete it, or declare the microworkflow in workflows.py.",
            obj=reading,
            id="microworkflows.W022",
        )
        for reading in registry.readings()
        if reading not in used
    ]


@register(TAG)
def check_deadlines(**kwargs: Any) -> list[CheckMessage]:
    """W080: nothing declared leads from the event that begins a deadline to the one that is awaited."""
    contexts = set(registry.contexts())
    types = {reading.event_type for reading in registry.readings()} | registry.announced().keys()
    if not {context_of(event_type) for event_type in types} <= contexts:
        return []  # other services may do the steps between
    following: dict[str, set[str]] = defaultdict(set)
    for workflow in registry.workflows():
        for event_type in workflow.types:
            following[event_type] |= set(workflow.emitted_types)
    return [
        Warning(
            f"A deadline awaits {deadline.awaited} after {deadline.of}, and nothing declared leads from one to the other.",
            hint="Name the event with which the flow begins in of=..., or declare what the microworkflows between them emit.",
            id="microworkflows.W080",
        )
        for deadline in registry.deadlines()
        if deadline.awaited not in _reached(deadline.of, following)
    ]


def _reached(event_type: str, following: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = [event_type]
    while ahead:
        new = following[ahead.pop()] - reached
        reached |= new
        ahead += new
    return reached


def _functions(label: str) -> list[str]:
    functions = [workflow.function for workflow in registry.workflows() if workflow.label == label]
    return [f"{function.__module__}.{function.__qualname__}" for function in functions]


def _named(event_type: str) -> list[str]:
    return [
        f"{event.__module__}.{event.__qualname__}"
        for event in registry.announcements()
        if event.event_type == event_type
    ]
