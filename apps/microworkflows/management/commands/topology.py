"""``manage.py topology``: what is at the broker beside what the code declares; before a deploy, and to tidy up after it."""

import json
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amqp.exceptions import AccessRefused
from django.core.management.base import CommandError, CommandParser
from kombu import Connection

from microworkflows import actual, gone, pruning, times
from microworkflows.actual import Binding, Queue, State, Topology
from microworkflows.dead_letters import connected
from microworkflows.journeys import human_duration
from microworkflows.management import naming
from microworkflows.management.base import Exit, KitCommand, add_format

_SIGNS = {
    State.AS_DECLARED: " ",
    State.TO_COME: "+",
    State.LATE: " ",
    State.LEFT_BEHIND: "-",
    State.KEPT: "~",
}
_SECONDS = 10.0
"""Longest wait for one answer of the broker."""


def _definitions(path: str) -> dict[str, Any]:
    try:
        found = json.loads(sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8"))
        return {**found, "bindings": list(found["bindings"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArgumentTypeError(
            f"{path} does not hold RabbitMQ's definitions, as rabbitmqctl export_definitions {path} writes them: {error!r}"
        ) from error


class Command(KitCommand):
    help = (
        "Show queues, bindings, depths and consumers at the broker beside what the installed code declares. The exit code is 1 if "
        "something is left behind, and 3 if the broker does not answer. --plan tells what a deploy of this code changes, --prune "
        "removes what is left behind."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        naming.add_contexts(parser, but=", those on record too")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--plan",
            action="store_true",
            help="only what this code would add, and what it leaves behind; the exit code is 0",
        )
        what.add_argument(
            "--prune",
            action="store_true",
            help="unbind what is left behind, and delete queues that are left behind, empty and without consumers; asks",
        )
        parser.add_argument(
            "--drop-messages",
            action="store_true",
            help="with --prune: delete queues with the messages that wait there",
        )
        parser.add_argument("--yes", action="store_true", help="with --prune: do not ask")
        parser.add_argument(
            "--definitions",
            type=_definitions,
            metavar="FILE",
            help="RabbitMQ's definitions, as rabbitmqctl export_definitions writes them, or the management API's /api/definitions; - reads them "
            "from the standard input. By default bindings are taken from this database's record",
        )
        add_format(parser)

    def handle(self, *args: Any, contexts: list[str], **options: Any) -> None:
        claimed = contexts if options["definitions"] else []
        naming.check_contexts(contexts, [*actual.contexts(), *claimed])
        with connected(seconds=_SECONDS) as connection:
            found = actual.look(connection, definitions=options["definitions"], claimed=claimed)
            if contexts:
                found = found.of(contexts)
            if options["prune"]:
                self._prune(connection, found, options)
                return
        if options["format"] == "json":
            self.say_json(_plain(found))
        else:
            for line in _lines(found, is_plan=options["plan"]):
                self.stdout.write(line)
        if not options["plan"] and (_is_left(found) or gone.messages() or gone.events()):
            raise CommandError(
                "Something is left behind: see docs/howto/decommission.md, or `manage.py topology --prune`.",
                returncode=Exit.FOUND,
            )

    def _prune(self, connection: Connection, found: Topology, options: dict[str, Any]) -> None:
        drops = options["drop_messages"]
        planned = pruning.plan(found, drops_messages=drops)
        for bound in planned.unbind:
            self.stdout.write(f"to unbind: {bound.queue} from {bound.key}")
        for queue in planned.delete:
            messages = f", with {queue.depth} messages" if queue.depth else ""
            self.stdout.write(f"to delete: {queue.name}{messages}")
        held_back = planned.held_back
        if planned.unbind or planned.delete:
            self._ask(options)
            try:
                held_back = held_back + pruning.prune(
                    connection, planned, say=self.stdout.write, drops_messages=drops
                )
            except AccessRefused as error:
                raise CommandError(
                    f"This user of the broker may not do that: {error}. Let an administrator of the broker do it, or run this with "
                    "BROKER_URL set to one who may.",
                    returncode=Exit.FOUND,
                ) from error
        elif not held_back:
            self.stdout.write("Nothing is left behind at the broker.")
        for reason in held_back:
            self.stdout.write(reason)
        if held_back:
            raise CommandError("Not all could go.", returncode=Exit.FOUND)

    def _ask(self, options: dict[str, Any]) -> None:
        if options["yes"]:
            return
        try:
            answer = input("Do this at the broker? [yes/no] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was changed. Answer yes, or give --yes in a script.")


def _is_left(found: Topology) -> bool:
    return any(queue.is_left_behind or queue.left_behind for queue in found.queues)


def _lines(found: Topology, *, is_plan: bool) -> Iterator[str]:
    yield f"exchange {found.exchange}; bindings by {found.bindings_from}"
    changes = False
    for queue in found.queues:
        changed = [each for each in queue.bindings if each.state not in (State.AS_DECLARED, State.LATE)]
        changes |= bool(changed) or queue.is_left_behind
        if is_plan and not changed and not queue.is_left_behind:
            continue
        yield _of_queue(queue)
        for each in changed if is_plan else queue.bindings:
            if each.key != queue.name or each.state is State.TO_COME:
                yield f"  {_SIGNS[each.state]} {each.key}{_said(each)}"
    if is_plan and not changes:
        yield "This code changes nothing at the broker."
    if found.others:
        yield f"bound by others: {', '.join(found.others)}"
    for rows in (*gone.messages(), *gone.events()):
        yield f"{rows.number} {rows.status} of {rows.name}, which is not installed here"


def _of_queue(queue: Queue) -> str:
    if queue.depth is None:
        return f"{queue.name}: does not exist yet"
    age = f", {_age(queue)}" if queue.depth else ""
    kept = ", kept by a process that lives" if queue.is_kept else ""
    left = f"; left behind{kept}" if queue.is_left_behind else ""
    return f"{queue.name}: {queue.depth} messages{age}, {queue.consumers} consumers{left}"


def _age(queue: Queue) -> str:
    if queue.oldest_at is None:
        return "of unknown age"
    return f"the oldest about {human_duration(times.aware(times.now()) - queue.oldest_at)} old"


def _said(each: Binding) -> str:
    if each.state is State.AS_DECLARED:
        return ""
    at = f", declared last {times.shown(each.declared_at)}" if each.declared_at else ""
    return f"  {each.state}{at}"


def _plain(found: Topology) -> dict[str, Any]:
    queues = [{**asdict(queue), "is_left_behind": queue.is_left_behind} for queue in found.queues]
    rows = [each._asdict() for each in (*gone.messages(), *gone.events())]
    return {**asdict(found), "queues": queues, "gone": rows}
