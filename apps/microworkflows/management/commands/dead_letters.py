"""``manage.py dead_letters``: the broker's dead letters, such as messages that a context's worker could not read."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser, no_translations

from microworkflows import masking, texts, topology
from microworkflows.dead_letters import DeadLetters, Letter, RequeueRefusedError, opened
from microworkflows.errors import BrokerUnavailableError
from microworkflows.journeys import human_duration
from microworkflows.management import naming
from microworkflows.management.base import Exit, KitCommand, add_format

_LONGEST_BODY = 500
_LONGEST_BODY_OF_ONE = 100_000
_INDENT = " " * 10


class Command(KitCommand):
    help = (
        "Count and list the messages in the dead-letter queues of contexts, each with its id and its reason; show, "
        "requeue or drop those that --id, --about, --reason-contains or --all select."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        naming.add_contexts(parser)
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--show", action="store_true", help="print each message in full; it stays where it is"
        )
        what.add_argument(
            "--requeue", action="store_true", help="bring them back to the queue of their context"
        )
        what.add_argument(
            "--drop", action="store_true", help="delete them for good; needs a context, and asks"
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--id", dest="ids", action="append", default=[], help="the one with this id; repeatable"
        )
        which.add_argument(
            "--about", metavar="NAME", help="those of flows about the object with this name or key"
        )
        which.add_argument("--reason-contains", metavar="TEXT", help="those whose reason contains this text")
        which.add_argument("--all", action="store_true", help="all of them")
        parser.add_argument(
            "--limit", type=int, default=100, help="list or show at most so many of a context; by default 100"
        )
        parser.add_argument("--yes", action="store_true", help="with --drop: do not ask")
        add_format(parser)

    @no_translations  # so JSON and --reason-contains mean the same in every project
    def handle(self, *args: Any, contexts: list[str], **options: Any) -> None:
        naming.check_contexts(contexts)
        acts, wanted = options["requeue"] or options["drop"], _selection(options)
        if acts and wanted is None:
            raise CommandError(
                "Say which: --id ID (`manage.py dead_letters` lists the ids), --about NAME, --reason-contains TEXT, or --all.",
                returncode=Exit.MISUSED,
            )
        if options["drop"] and not contexts:
            raise CommandError(
                "Name the context whose dead letters are to be deleted for good.", returncode=Exit.MISUSED
            )
        if acts and options["format"] == "json":
            raise CommandError(
                "--format json belongs to listing: leave out --requeue or --drop.", returncode=Exit.MISUSED
            )
        self._told: list[dict[str, Any]] = []
        try:
            with opened() as dead_letters:
                found: set[str] = set()
                for name in contexts or topology.queues():
                    if acts:
                        assert wanted is not None
                        found |= self._act(dead_letters, name, wanted, options)
                    else:
                        found |= self._list(dead_letters, name, wanted, options)
        except BrokerUnavailableError as error:
            raise CommandError(
                f"The broker is away, so nothing is known of its dead letters: {error}",
                returncode=Exit.UNKNOWN,
            ) from error
        except RequeueRefusedError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.say_json(self._told)
        if missing := sorted({*options["ids"]} - found):
            raise CommandError(f"No such dead letter: {texts.line(', '.join(missing))}.")

    def _list(
        self,
        dead_letters: DeadLetters,
        name: str,
        wanted: Callable[[Letter], bool] | None,
        options: dict[str, Any],
    ) -> set[str]:
        limit = max(options["limit"], 0)
        found = (
            dead_letters.look(name, most=limit)
            if wanted is None
            else dead_letters.find(name, wanted, most=limit)
        )
        left = found.unseen if wanted is None else len(found.letters) - limit
        if options["format"] == "json":
            letters = [_plain(letter, shows=options["show"]) for letter in found.letters[:limit]]
            self._told.append(
                {"queue": topology.dead_letter_name(name), "number": found.count, "letters": letters}
            )
            return {letter.id for letter in found.letters}
        self.stdout.write(f"{found.count:>8}  {topology.dead_letter_name(name)}")
        for letter in found.letters[:limit]:
            self.stdout.write(f"{_INDENT}{letter}{_age(letter)}")
            if subject := letter.subject:
                self.stdout.write(f"{_INDENT}  about {texts.line(subject.title)}")
            if options["show"]:
                self._show(letter, longest=_LONGEST_BODY_OF_ONE if options["ids"] else _LONGEST_BODY)
        if left > 0:
            self.stdout.write(f"{_INDENT}and {left} more; --limit lists more of them")
        return {letter.id for letter in found.letters}

    def _show(self, letter: Letter, *, longest: int) -> None:
        self.stdout.write(f"{_INDENT}  came by the routing key {letter.routing_key}")
        if letter.worker:
            self.stdout.write(f"{_INDENT}  refused by {letter.worker}")
        for header, value in masking.headers(letter.own_headers).items():
            self.stdout.write(f"{_INDENT}  {header}: {value}")
        body = texts.line(masking.message(letter.text), longest=longest)
        self.stdout.write(f"{_INDENT}{texts.line(letter.content_type)}: {body}")

    def _act(
        self,
        dead_letters: DeadLetters,
        name: str,
        wanted: Callable[[Letter], bool],
        options: dict[str, Any],
    ) -> set[str]:
        found = dead_letters.find(name, wanted, most=0)
        ids = [letter.id for letter in found.letters]
        queue, drops = topology.dead_letter_name(name), options["drop"]
        if drops and ids:
            self._ask(found.letters, queue, options)
        done: list[Letter] = []
        verb = "dropped" if drops else f"brought back to {name}"
        try:
            (dead_letters.drop if drops else dead_letters.requeue)(name, ids, done)
        finally:
            for letter in done:
                self.stdout.write(f"{_INDENT}{verb}: {letter}")
            self.stdout.write(f"{len(done):>8}  of {queue} {verb}; {found.count - len(done)} left")
        if missing := set(ids) - {letter.id for letter in done}:
            raise CommandError(
                f"No longer in {queue}, so left alone: {', '.join(sorted(missing))}. Is somebody else at it?"
            )
        return set(ids)

    def _ask(self, letters: list[Letter], queue: str, options: dict[str, Any]) -> None:
        for letter in letters[: options["limit"]]:
            self.stdout.write(f"{_INDENT}{letter}")
        if len(letters) > options["limit"]:
            self.stdout.write(f"{_INDENT}and {len(letters) - options['limit']} more")
        if options["yes"]:
            return
        try:
            answer = input(f"Delete these {len(letters)} messages of {queue} for good? [yes/no] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was dropped. Answer yes, or give --yes in a script.")


def _age(letter: Letter) -> str:
    return "" if letter.at is None else f"  {human_duration(datetime.now(UTC) - letter.at)} old"


def _plain(letter: Letter, *, shows: bool) -> dict[str, Any]:
    subject = letter.subject
    return {
        "id": letter.id,
        "at": letter.at,
        "reason": letter.reason,
        "about": subject and subject.title,
        "routing_key": letter.routing_key,
        "worker": letter.worker,
        **({"body": masking.message(letter.text)} if shows else {}),
    }


def _selection(options: dict[str, Any]) -> Callable[[Letter], bool] | None:
    """Return which dead letters are selected; None if nothing was said about it."""
    if ids := set(options["ids"]):
        return lambda letter: letter.id in ids
    if about := options["about"]:
        return lambda letter: letter.subject is not None and letter.subject.is_meant_by(about)
    if text := options["reason_contains"]:
        return lambda letter: text in letter.reason
    return (lambda letter: True) if options["all"] else None
