"""``manage.py check_in_flight``: say, before a deployment, which messages under way its code would not handle."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import in_flight, texts, times, unreceived
from microworkflows.management.base import KitCommand, add_format


class Command(KitCommand):
    help = (
        "Run by the code about to be deployed, on the database of the running one: hold what is pending, scheduled, queued, waiting and "
        "parked against its microworkflows and readings. Exit code 1 if it would not handle a message. It changes nothing, and "
        "takes nothing from a queue."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--hours",
            type=float,
            default=unreceived.SPAN / timedelta(hours=1),
            help="age up to which relayed events are looked at; by default 24",
        )
        add_format(parser)

    def handle(self, *args: Any, hours: float, **options: Any) -> None:
        found = in_flight.look(since=times.aware(times.now()) - timedelta(hours=hours))
        if options["format"] == "json":
            self.say_json(_as_json(found))
        else:
            for line in _lines(found):
                self.stdout.write(texts.line(line))
        if found.counts:
            raise CommandError(
                f"This code would not handle {found.counts.total()} messages that are under way."
            )


def _lines(found: in_flight.Found) -> list[str]:
    lines = []
    for problem, named in found.problems.items():
        number = found.counts[problem]
        more = f" and {number - len(named)} more" if number > len(named) else ""
        consumer = f" for {problem.consumer}" if problem.consumer else ""
        lines += [
            f"{number} {problem.state} {problem.event_type}{consumer}: {problem.kind}, {problem.reason}",
            f"    ids {', '.join(named)}{more}",
            f"    {problem.remedy}",
        ]
    looked = ", ".join(
        f"{found.looked_at[state]} {state}"
        for state in ("pending", "scheduled", "queued", "waiting", "parked")
    )
    return [*lines, f"Looked at {looked}.", *(f"Unknown: {each}." for each in found.unseen)]


def _as_json(found: in_flight.Found) -> dict[str, Any]:
    problems = [
        {
            "kind": problem.kind,
            "state": problem.state,
            "type": problem.event_type,
            "consumer": problem.consumer or None,
            "reason": problem.reason,
            "remedy": problem.remedy,
            "count": found.counts[problem],
            "ids": named,
        }
        for problem, named in found.problems.items()
    ]
    return {"problems": problems, "looked_at": dict(found.looked_at), "unknown": found.unseen}
