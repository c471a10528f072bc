"""Which failed messages a command is about, and who gives it: the arguments that ``replay`` and ``dismiss`` share."""

import getpass
import os
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from microworkflows.models import InboxEvent, InboxQuerySet


class Chosen(NamedTuple):
    """The messages that the arguments choose."""

    rows: InboxQuerySet
    number: int


def add_arguments(parser: CommandParser) -> None:
    """Add the arguments that choose messages."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", type=UUID, default=[], help="inbox ids")
    which.add_argument("--context", help="every parked message of this context")
    which.add_argument(
        "--about", metavar="NAME", help="every one of flows about the object with this name or key"
    )
    which.add_argument(
        "--problem", metavar="FINGERPRINT", help="every one whose last failure has this fingerprint"
    )
    which.add_argument("--all", action="store_true", help="every parked message")
    parser.add_argument("--by", help="name for the history; by default the user who runs this")


def chosen(options: dict[str, Any], *, statuses: Sequence[InboxEvent.Status], done: str) -> Chosen:
    """Return the parked messages that the arguments choose; by id, those with another of these statuses, too.

    Raises:
        CommandError: an id is none of such a message.
    """
    rows = InboxEvent.objects.parked()
    if ids := options["ids"]:
        rows = InboxEvent.objects.filter(status__in=statuses, pk__in=ids)
        if missing := set(ids) - set(rows.values_list("pk", flat=True)):
            raise CommandError(
                f"Not {' or '.join(status.label for status in statuses)}: {', '.join(map(str, sorted(missing)))}. "
                f"Nothing was {done}."
            )
    elif options["context"] is not None:
        rows = rows.of_context(options["context"])
    elif options["about"] is not None:
        rows = rows.about(options["about"])
    elif options["problem"] is not None:
        rows = rows.of_problem(options["problem"])
    return Chosen(rows, rows.count())


def user() -> str:
    """Return the name of the user of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container whose user has no name
        return f"uid {os.getuid()}"
