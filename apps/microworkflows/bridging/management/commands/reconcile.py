"""``manage.py reconcile``: what differs between two sides of the same data, and which events a context never received."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connections
from django.utils.module_loading import import_string

from microworkflows import registry, texts, times, unreceived
from microworkflows.bridging import comparing, receipts
from microworkflows.bridging.comparing import Comparison, Findings
from microworkflows.errors import MicroworkflowsError
from microworkflows.management.base import Exit, KitCommand


class Command(KitCommand):
    help = (
        "Compare rows of two sides by key, as functions of yours declare them, and count the events that a context received neither "
        "here nor in its own database. The exit code is 0 if all agrees, 1 if something differs or is missing, 3 if nobody can tell."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "comparisons",
            nargs="*",
            metavar="COMPARISON",
            help="dotted path of a microworkflows.bridging.Comparison, or of a function that returns one",
        )
        parser.add_argument(
            "--settle",
            type=float,
            default=5.0,
            metavar="SECONDS",
            help="look again after this time at what differs, so that what was under way does not count (5); 0: do not",
        )
        parser.add_argument(
            "--values", action="store_true", help="show the values that differ, which may be personal data"
        )
        parser.add_argument(
            "--context", help="count the events recorded here that this context has not received"
        )
        parser.add_argument(
            "--database",
            default="default",
            metavar="ALIAS",
            help="database where it works; by default this one",
        )
        parser.add_argument(
            "--minutes", type=float, default=10.0, help="age from which an event counts; by default 10"
        )
        parser.add_argument(
            "--hours", type=float, default=24.0, help="age up to which events are looked at; by default 24"
        )

    def handle(self, *args: Any, comparisons: list[str], context: str | None, **options: Any) -> None:
        if not comparisons and context is None:
            raise CommandError("Name a COMPARISON, or a --context, or both.", returncode=Exit.MISUSED)
        differs = False
        try:
            for path in comparisons:
                differs |= self._compare(path, settle=options["settle"], values=options["values"])
            if context is not None:
                differs |= self._count(context, options)
        except MicroworkflowsError as error:
            raise CommandError(str(error), returncode=Exit.UNKNOWN) from error
        except DatabaseError as error:
            raise CommandError(
                f"Not everything was looked at: the database says {texts.line(error)}",
                returncode=Exit.UNKNOWN,
            ) from error
        if differs:
            raise CommandError("Something differs or is missing.", returncode=Exit.FOUND)

    def _compare(self, path: str, *, settle: float, values: bool) -> bool:
        comparison = _imported(path)
        found = comparing.compare(comparison, settle=settle)
        left, right = comparison.names
        total = found.counts.total()
        self.stdout.write(f"{path}: {left} and {right}, {found.compared:,} keys, {total:,} differences")
        for what, number in found.counts.most_common():
            self.stdout.write(f"  {number:>8,}  {what}: {', '.join(_examples(found, what, values=values))}")
        if total and settle and not found.is_settled:
            self.stdout.write("  They are too many to be looked at again, so some may have been under way.")
        return total > 0

    def _count(self, context: str, options: dict[str, Any]) -> bool:
        if context not in {workflow.context for workflow in registry.workflows()}:
            raise CommandError(
                f"{context} has no microworkflow that is known here, so nobody can say what it should have received. Run this where the "
                "app of the context is installed.",
                returncode=Exit.MISUSED,
            )
        if options["database"] not in connections:
            raise CommandError(
                f"DATABASES has no {options['database']!r}. Add the context's database there.",
                returncode=Exit.MISUSED,
            )
        now = times.now()
        since, until = now - timedelta(hours=options["hours"]), now - timedelta(minutes=options["minutes"])
        found = receipts.of(context, database=options["database"], since=since, until=until)
        missing, unrelayed = found.missing.total(), found.unrelayed.total()
        self.stdout.write(
            f"{context}: {found.received:,} deliveries received, {missing:,} missing, {unrelayed:,} not relayed yet, in "
            f"{found.flows:,} flows"
        )
        for counts, why in ((found.missing, "missing"), (found.unrelayed, "not relayed")):
            for each, number in sorted(counts.items()):
                self.stdout.write(f"  {number:>8,}  {why}: {each.event_type}  {each.listener}")
        if missing:
            self.stdout.write(f"  `{unreceived.remedy(found.missing, since=since)}` relays them once more.")
        if unrelayed:
            announcers = sorted({each.event_type.partition(".")[0] for each in found.unrelayed})
            self.stdout.write(
                f"  Start the relay of {', '.join(announcers)}; `manage.py unheard` names events without a listener's queue."
            )
        if found.parked or found.waiting:
            self.stdout.write(
                f"  {found.parked:,} messages are parked there and {found.waiting:,} wait: `manage.py replay --context {context}` there "
                "tries the parked ones again."
            )
        return bool(missing or unrelayed or found.parked)


def _imported(path: str) -> Comparison:
    try:
        found = import_string(path)
    except ImportError as error:
        raise CommandError(f"{path}: {error}.", returncode=Exit.MISUSED) from error
    comparison = found() if callable(found) else found
    if not isinstance(comparison, Comparison):
        raise CommandError(
            f"{path} is {type(comparison).__name__}; it must be a microworkflows.bridging.Comparison, or a function that returns one.",
            returncode=Exit.MISUSED,
        )
    return comparison


def _examples(found: Findings, what: str, *, values: bool) -> list[str]:
    return [
        f"{texts.line(each.key)} ({texts.line(each.left)} → {texts.line(each.right)})"
        if values and each.is_of_values
        else texts.line(each.key)
        for each in found.examples[what]
    ]
