"""``manage.py erase``: erases the personal data that flows about an object left behind, and says what it kept, and why."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import erasing, journeys, texts
from microworkflows.erasing import Report
from microworkflows.errors import InvalidSubjectError
from microworkflows.management import choosing
from microworkflows.management.base import Exit, KitCommand, add_format
from microworkflows.models import OutboxEvent
from microworkflows.subjects import Subject

_NEVER = "what waits in the broker's queues, logs, and backups"


class Command(KitCommand):
    help = (
        "Erase the fields declared as Personal, and kept errors, from all events and messages of flows about an object, which "
        "stay as they are otherwise. What somebody still has to handle is kept and told: exit code 1; 3 if not all could be looked at."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--subject",
            nargs="+",
            required=True,
            dest="subjects",
            metavar="KIND:KEY",
            help="objects that flows are about, such as orders.order:42",
        )
        parser.add_argument("--why", required=True, help="the reason, for the history")
        parser.add_argument("--by", help="name for the history; by default the user who runs this")
        parser.add_argument(
            "--although",
            action="store_true",
            help="erase also what is unheard, rejected, waiting or parked, so that nobody can handle it, and drop dead letters",
        )
        add_format(parser)

    def handle(self, *args: Any, subjects: list[str], why: str, by: str | None, **options: Any) -> None:
        if not why.strip():
            raise CommandError("--why is empty: give the reason for the erasure.", returncode=Exit.MISUSED)
        wanted = [_subject(text) for text in subjects]
        report = erasing.erase(wanted, by=by or choosing.user(), why=why, although=options["although"])
        if options["format"] == "json":
            told = {
                "subjects": [str(each) for each in wanted],
                **asdict(report),
                "kept": [each._asdict() for each in report.kept],
            }
            self.say_json(told)
        else:
            self._tell(report)
        if report.unknown:
            raise CommandError("Not all could be looked at: erase again.", returncode=Exit.UNKNOWN)
        if report.kept:
            raise CommandError(
                "Some personal data is still here: see what was kept, and why.", returncode=Exit.FOUND
            )

    def _tell(self, report: Report) -> None:
        rows = [(what, number, "erased", "") for what, number in report.erased.items()]
        rows += [(each.what, each.number, "kept", f"{each.why}: {each.remedy}") for each in report.kept]
        for what, number, outcome, why in rows:
            self.stdout.write(texts.line(f"{number:>8}  {outcome:<6}  {what:<22}  {why}".rstrip()))
        for what in report.unknown:
            self.stdout.write(texts.line(f"{'?':>8}  unknown {what}"))
        erased = sum(report.erased.values())
        self.stdout.write(
            f"{report.found} events and messages are about this; erased now: {erased}, erased before: {report.already}."
        )
        if report.elsewhere:
            self.stdout.write(
                f"Run it there, too: {', '.join(report.elsewhere)} took part, in another database."
            )
        self.stdout.write(f"It cannot reach {_NEVER}.")


def _subject(text: str) -> Subject:
    """Return the object that a text names."""
    kind, _, key = text.partition(":")
    try:
        return Subject(kind=kind, key=key)
    except InvalidSubjectError as error:
        rows = OutboxEvent.objects.of_flow(*journeys.flows_about(text))
        named = sorted({str(row.subject) for row in rows if row.subject})
        meant = f" Flows about an object of this name or key are about {', '.join(named)}." if named else ""
        raise CommandError(
            f"{text!r} is no KIND:KEY, which names one object for certain ({error}).{meant}",
            returncode=Exit.MISUSED,
        ) from error
