"""``manage.py health``: whether workers or relays are alive, for probes: one line, and an exit code."""

import json
import platform
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.db import Error

from microworkflows import registry, topology
from microworkflows.management import naming
from microworkflows.management.base import Exit, KitCommand, add_format
from microworkflows.metrics import bounded, database, health
from microworkflows.metrics.health import Health

_SECONDS = 8.0


class Command(KitCommand):
    help = (
        "Say whether each context has a worker that is alive, or a relay that leads. The exit code is 0 if all have, 1 if one has "
        "none, 3 if nobody can tell because the database does not answer."
    )
    requires_system_checks: list[str] = []  # a probe has no time for them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=["worker", "relay"], help="which of the two processes")
        naming.add_contexts(parser)
        parser.add_argument(
            "--here",
            action="store_true",
            help="only those on this machine or in this container; a relay may also stand by",
        )
        add_format(parser)

    def handle(self, *args: Any, kind: str, contexts: list[str], here: bool, **options: Any) -> None:
        known = topology.queues() if kind == "worker" else registry.contexts()
        naming.check_contexts(contexts, known)
        found, reason = _look(kind, contexts or known, platform.node() if here else "")
        ok = found is not None and all(each.ok for each in found)
        if options["format"] == "json":
            says = {each.name: {"ok": each.ok, "says": each.says} for each in found or ()}
            self.stdout.write(
                json.dumps({"ok": ok if found is not None else None, kind: says, "error": reason})
            )
        else:
            self.stdout.write(
                f"{kind}: " + (reason or "; ".join(f"{each.name}: {each.says}" for each in found or ()))
            )
        if not ok:
            raise SystemExit(int(Exit.UNKNOWN if found is None else Exit.FOUND))


def _look(kind: str, names: Sequence[str], host: str) -> tuple[list[Health] | None, str]:
    """Return the health of each, or None and the reason why it is unknown."""
    outcome: list[tuple[list[Health] | None, str]] = []

    def look() -> None:
        try:
            with database.opened("health"), database.limited():
                found = (health.workers if kind == "worker" else health.relays)(names, host=host)
                outcome.append((found, ""))
        except Error as error:
            reason = " ".join(str(error).split())
            outcome.append((None, f"unknown: the database does not answer: {type(error).__name__}: {reason}"))

    bounded.run({"health": look}, seconds=_SECONDS)
    return outcome[0] if outcome else (None, f"unknown: the database has not answered in {_SECONDS:g} s")
