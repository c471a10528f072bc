"""What ``pause`` and ``resume`` are about: a context or a microworkflow by its label, or a flow by its correlation id."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import holds
from microworkflows.management import naming
from microworkflows.management.base import Exit
from microworkflows.models import Hold


def add_arguments(parser: CommandParser) -> None:
    """Add the arguments that name what is paused."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", metavar="NAME", help="label of a context or a microworkflow")
    which.add_argument("--flow", metavar="ID", help="correlation id of a flow")


def chosen(options: dict[str, Any]) -> tuple[Hold.Kind, str]:
    """Return what the arguments name; what is paused is known, too, though its code or rows may be gone.

    Raises:
        CommandError: nobody knows it.
    """
    name, flow = options["name"], options["flow"]
    kind, name = (holds.kind_of(name), name) if flow is None else (Hold.Kind.FLOW, flow)
    if any((each.kind, each.name) == (kind, name) for each in holds.in_force()):
        return kind, name
    if kind == Hold.Kind.CONTEXT:
        naming.check_contexts_with_rows([name])
    elif kind == Hold.Kind.MICROWORKFLOW:
        naming.check_workflows([name])
    elif not holds.is_known(kind, name):
        raise CommandError(
            f"No such flow: {flow}. `manage.py journey` shows the id of an object's flow.",
            returncode=Exit.MISUSED,
        )
    return kind, name
