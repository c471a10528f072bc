"""``manage.py bootstrap``: rows that were never events are recorded as events of the past, for contexts that need them."""

import json
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils.module_loading import import_string

from microworkflows import masking, registry, texts
from microworkflows.bridging.bootstrapping import Bootstrap, Counts
from microworkflows.errors import MicroworkflowsError
from microworkflows.management.base import Exit, KitCommand

_SAYS_EVERY_SECONDS = 2.0
_AGAIN = "Run it again to go on, without --again: nothing is lost, and nothing recorded twice."


class Command(KitCommand):
    help = (
        "Record rows of the past as events, each once, in the order in which a function of yours yields them. They take effect only "
        "in microworkflows declared with bootstrap=True. A run that was stopped goes on when the command is given again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "type", metavar="TYPE", help="type of the events, such as orders.order_accepted.v1"
        )
        parser.add_argument(
            "--from",
            dest="query",
            required=True,
            metavar="QUERY",
            help="dotted path of a function, such as orders.bootstrapping.accepted_orders, that yields events, pairs of event and "
            "object that it is about, or microworkflows.bridging.Past",
        )
        parser.add_argument(
            "--only-for",
            default="",
            metavar="CONTEXT",
            help="let one context alone act on them; what was recorded for others or for all is recorded anew",
        )
        parser.add_argument(
            "--rate", type=float, help="most events in a second; by default as fast as it goes"
        )
        parser.add_argument(
            "--again", action="store_true", help="record all rows anew, also those of earlier runs"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count, and show the first events; record nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        bootstrap = self._bootstrap(options)
        self._say_who_acts(bootstrap)
        counts = Counts()
        try:
            if options["dry_run"]:
                self._rehearse(bootstrap, again=options["again"])
                return
            if options["again"]:
                self._say(f"{bootstrap.forget():,} rows of earlier runs count as new.")
            said = time.monotonic()
            for counts in bootstrap.run(rate=options["rate"]):
                if time.monotonic() - said >= _SAYS_EVERY_SECONDS:
                    self._say(_told(counts))
                    said = time.monotonic()
        except MicroworkflowsError as error:
            raise CommandError(f"{error}\n{_so_far(counts)}") from error
        except DatabaseError as error:
            raise CommandError(f"Stopped by the database: {error}\n{_so_far(counts)}") from error
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted. {_so_far(counts)}", returncode=130) from None
        self._say(
            f"{_told(counts)} The relay of {bootstrap.event.event_type.partition('.')[0]} brings them on."
        )

    def _bootstrap(self, options: dict[str, Any]) -> Bootstrap:
        event = registry.announced().get(options["type"])
        if event is None:
            raise CommandError(
                f"No context installed here announces {options['type']}. Run this where class X(DomainEvent, type=…) declares it; known "
                f"are {', '.join(sorted(registry.announced())) or 'none'}.",
                returncode=Exit.MISUSED,
            )
        try:
            query = import_string(options["query"])
        except ImportError as error:
            raise CommandError(
                f"--from {options['query']}: {error}. Give the dotted path of a function."
            ) from error
        if not callable(query):
            raise CommandError(f"--from {options['query']} is no function; it must be one without arguments.")
        if options["rate"] is not None and not options["rate"] > 0:
            raise CommandError(f"--rate {options['rate']:g} records nothing. Give more than 0.")
        bootstrap = Bootstrap(event=event, query=query, only_for=options["only_for"])
        try:
            bootstrap.mark  # noqa: B018  (it tells whether the label can be one)
        except ValueError as error:
            raise CommandError(f"--only-for: {error}") from error
        return bootstrap

    def _say_who_acts(self, bootstrap: Bootstrap) -> None:
        """Say which microworkflows act on the events; refuse if it is known that none does."""
        only_for, known = bootstrap.only_for, {workflow.context for workflow in registry.workflows()}
        if not bootstrap.handled_by and (only_for in known or (not only_for and bootstrap.passed_over)):
            raise CommandError(
                f"No microworkflow{f' of {only_for}' if only_for else ''} known here wants {bootstrap.event.event_type} of the past, so "
                "nothing was recorded. Declare the one that does: @microworkflow(on=…, bootstrap=True)."
            )
        for label in bootstrap.handled_by:
            self._say(f"{label} will act on them.")
        for label in bootstrap.passed_over:
            self._say(f"{label} will not.")
        if not bootstrap.handled_by:
            self._say(
                f"Who acts on them is unknown here: {only_for or 'whoever listens'} is another service's. There, those declared with "
                "bootstrap=True do."
            )

    def _rehearse(self, bootstrap: Bootstrap, *, again: bool) -> None:
        counts, examples = bootstrap.rehearse(again=again)
        for event in examples:
            shown = {"as_of": event.meta.as_of, "data": masking.data(event.meta.type, event.data)}
            self._say(f"{texts.line(event)}\n  {texts.line(json.dumps(shown, default=str))}")
        self._say(
            f"{counts.recorded:,} events would be recorded; {counts.before:,} rows were recorded before. Nothing was recorded."
        )

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _told(counts: Counts) -> str:
    return f"{counts.recorded:,} events recorded; {counts.before:,} rows were recorded before."


def _so_far(counts: Counts) -> str:
    return f"{_told(counts)} {_AGAIN}"
