"""Names that people type: of contexts, event types and microworkflows. One that nobody knows is refused, with what is meant most likely."""

from argparse import _ActionsContainer
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

from django.core.management.base import CommandError, CommandParser

from microworkflows import registry, topology
from microworkflows.management.base import Exit
from microworkflows.models import InboxEvent, OutboxEvent

_LIKENESS = 0.6
_MOST_NAMED = 20


def add_contexts(parser: CommandParser, *, but: str = "") -> None:
    """Add the argument of a command that is about contexts: their labels, by default all.

    A command that is about something else takes them by :func:`add_context_option`.
    """
    parser.add_argument(
        "contexts", nargs="*", metavar="CONTEXT", help=f"labels of contexts; by default all{but}"
    )


def add_context_option(parser: _ActionsContainer, *, text: str) -> None:
    """Add the option of a command that is about something else than contexts."""
    parser.add_argument("--context", action="append", default=[], metavar="LABEL", help=f"{text}; repeatable")


def check_contexts(given: Iterable[str], known: Collection[str] | None = None) -> None:
    """Refuse labels of contexts that are none: neither installed, nor those of rows, or not among the known.

    Raises:
        CommandError: one is unknown.
    """
    given = list(given)
    known = topology.queues() if known is None else known
    if set(given) - set(known):
        check("context", given, known)


def check_contexts_with_rows(given: Iterable[str]) -> None:
    """Do the same; the inbox may also know contexts whose app is gone."""
    given = list(given)
    if missing := set(given) - set(topology.queues()):
        there = {each for each in missing if InboxEvent.objects.of_context(each).exists()}
        check_contexts(given, [*topology.queues(), *sorted(there)])


def check_types(given: Iterable[str]) -> None:
    """Refuse event types that nobody here announces or reads, and that the outbox does not hold either."""
    given = list(given)
    declared = {event.event_type for event in (*registry.announcements(), *registry.readings())}
    if missing := set(given) - declared:
        held = set(OutboxEvent.objects.filter(destination__in=missing).values_list("destination", flat=True))
        check("event type", given, declared | held)


def check_workflows(given: Iterable[str]) -> None:
    """Refuse labels of microworkflows that are neither declared nor those of rows in the inbox."""
    given = list(given)
    declared = {workflow.label for workflow in registry.workflows()}
    if missing := set(given) - declared:
        there = {each for each in missing if InboxEvent.objects.of_workflow(each).exists()}
        check("microworkflow", given, declared | there)


def check(what: str, given: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that are not among the known ones.

    Raises:
        CommandError: one is not.
    """
    unknown = sorted(set(given) - set(known))
    if not unknown:
        return
    likely = dict.fromkeys(
        match for name in unknown for match in get_close_matches(name, sorted(known), n=1, cutoff=_LIKENESS)
    )
    meant = f"Do you mean {' and '.join(map(repr, likely))}? " if likely else ""
    named = sorted(known)[:_MOST_NAMED]
    more = f" and {len(known) - len(named)} more" if len(known) > len(named) else ""
    raise CommandError(
        f"No such {what}: {', '.join(unknown)}. {meant}Known are: {', '.join(named) or 'none'}{more}.",
        returncode=Exit.MISUSED,
    )
