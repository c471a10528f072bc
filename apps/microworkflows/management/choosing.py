"""Which failed messages a command is about, and who gives it: the arguments that ``replay`` and ``dismiss`` share."""

import getpass
import os
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from microworkflows.management import naming
from microworkflows.management.base import Exit
from microworkflows.models import InboxEvent, InboxQuerySet


class Chosen(NamedTuple):
    """The messages that the arguments choose."""

    rows: InboxQuerySet
    number: int


def add_arguments(parser: CommandParser) -> None:
    """Add the arguments that choose messages."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", type=UUID, default=[], help="inbox ids")
    naming.add_context_option(which, text="every parked message of this context")
    which.add_argument(
        "--microworkflow", metavar="LABEL", help="every one of this microworkflow, which may be gone"
    )
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
        CommandError: an id is none of such a message, or a name is unknown.
    """
    rows = InboxEvent.objects.failing() if options.get("waiting") else InboxEvent.objects.parked()
    if ids := options["ids"]:
        rows = InboxEvent.objects.filter(status__in=statuses, pk__in=ids)
        if missing := set(ids) - set(rows.values_list("pk", flat=True)):
            raise CommandError(
                f"Not {' or '.join(status.label for status in statuses)}: {', '.join(map(str, sorted(missing)))}. "
                f"Nothing was {done}.",
                returncode=Exit.MISUSED,
            )
        if done == "replayed" and (erased := [row for row in rows.defer("body") if row.erased_at]):
            raise CommandError(
                "Personal data was erased from "
                + ", ".join(f"{row.pk} on {row.erased_at:%Y-%m-%d}" for row in erased)
                + ", so nobody can handle this any more. Nothing was replayed.",
                returncode=Exit.MISUSED,
            )
    elif contexts := options["context"]:
        naming.check_contexts_with_rows(contexts)
        rows = rows.of_context(*contexts)
    elif options["microworkflow"] is not None:
        naming.check_workflows([options["microworkflow"]])
        rows = rows.of_workflow(options["microworkflow"])
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
