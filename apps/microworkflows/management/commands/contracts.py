"""``manage.py contracts``: write each announced event and each reading as JSON Schema, or fail where a change breaks one."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import contracts, verdicts
from microworkflows.contracts import Contracts
from microworkflows.errors import ContractError
from microworkflows.management import naming
from microworkflows.management.base import Exit, KitCommand, add_format


class Command(KitCommand):
    help = (
        "Write the contracts of all installed contexts as JSON Schema, one file for each announced event and each reading of a "
        "foreign one. Nothing is written where a published one would break: exit code 1, or 3 if nobody can tell."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--folder", type=Path, default=Path("contracts"), help="where the files are; by default contracts"
        )
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail when a file is stale, too"
        )
        parser.add_argument(
            "--against",
            action="append",
            default=[],
            type=Path,
            metavar="FOLDER",
            help="also compare with the contracts of other services in FOLDER; repeatable",
        )
        parser.add_argument(
            "--accept",
            action="append",
            default=[],
            metavar="TYPE",
            help="write the contracts about this event although they break, since nothing of the old form is left; repeatable",
        )
        add_format(parser)

    def handle(
        self, *args: Any, folder: Path, against: list[Path], accept: list[str], **options: Any
    ) -> None:
        naming.check_types(accept)
        try:
            now = contracts.declared()
            here = contracts.contexts_here(now)
            written = contracts.load(folder)
            foreign = {name: each for other in against for name, each in _read(other).items()}
        except ContractError as error:
            raise CommandError(str(error), returncode=Exit.MISUSED) from error
        before = {name: each for name, each in written.items() if name.context in here}
        foreign = {name: each for name, each in {**written, **foreign}.items() if name.context not in here}
        found = [
            each
            for each in verdicts.changes(before=before, now=now, foreign=foreign)
            if each.name.event_type not in accept
        ]
        stale = contracts.stale(before=before, now=now)
        unknown = verdicts.unknown(now=now, foreign=foreign)
        if options["format"] == "json":
            said = {"findings": verdicts.as_json(found), "stale": stale, "unknown": list(map(str, unknown))}
            self.say_json(said)
        else:
            self._tell(found, stale if options["check"] else [], list(map(str, unknown)))
        if found:
            raise CommandError(
                f"{len(found)} findings. If nothing of the old form is under way or stored any more, and all listeners bear the new "
                "one: manage.py contracts --accept TYPE",
                returncode=Exit.FOUND if any(each.is_certain for each in found) else Exit.UNKNOWN,
            )
        if options["check"] and stale:
            raise CommandError(
                f"The contracts in {folder} are stale. Write them anew: manage.py contracts --folder {folder}"
            )
        if not options["check"]:
            contracts.write(folder, before=before, now=now, accepted=accept)
        if options["format"] == "text":
            self.stdout.write(
                f"{len(now)} contracts in {folder} are {'kept' if options['check'] else 'written'}."
            )

    def _tell(self, found: list[verdicts.Finding], stale: list[str], unknown: list[str]) -> None:
        for line in (*map(str, found), *stale):
            self.stdout.write(line)
        for name in unknown:
            self.stdout.write(
                f"{name}: not compared, its announcement is unknown here. Name a folder: --against FOLDER"
            )


def _read(folder: Path) -> Contracts:
    if not folder.is_dir():
        raise ContractError(f"{folder} is no folder. Name one that `manage.py contracts` has written.")
    return contracts.load(folder)
