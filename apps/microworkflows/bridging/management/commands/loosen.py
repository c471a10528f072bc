"""``manage.py loosen``: a foreign key to another context becomes an id, by a migration; and the ids that name nothing are told."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows.bridging import dangling, loosening
from microworkflows.errors import MicroworkflowsError
from microworkflows.management.base import Exit, KitCommand


class Command(KitCommand):
    help = (
        "Write the migration by which a foreign key becomes a plain field on the same column, with its rows and its index, and back. "
        "With --check, look for ids that name no row, in the keys that were loosened."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key", nargs="?", metavar="KEY", help="a foreign key, such as orders.Order.customer"
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="report dangling ids; exit code 1 if there are any, 3 if somewhere nobody can tell. Without KEY: of all keys",
        )
        parser.add_argument("--dry-run", action="store_true", help="print the migration; write nothing")

    def handle(self, *args: Any, key: str | None, check: bool, dry_run: bool, **options: Any) -> None:
        if check:
            self._check(key)
            return
        if key is None or key.count(".") != 2:
            raise CommandError(
                "Name the key as app_label.Model.field, such as orders.Order.customer.",
                returncode=Exit.MISUSED,
            )
        try:
            made = loosening.loosen(*key.split("."))
        except MicroworkflowsError as error:
            raise CommandError(str(error)) from error
        if dry_run:
            self.stdout.write(made.text)
        else:
            made.path.write_text(made.text)
            self.stdout.write(f"Wrote {made.path}.")
        renamed = f" In {', '.join(made.replaced)}, name the new field." if made.replaced else ""
        old = key.split(".")[2]
        self.stdout.write(
            f"In the model, replace {old} by\n    {made.line}\n{renamed.lstrip()}\n"
            f"Nothing is deleted or refused any more when what {old} names is deleted. Decide who does it instead, and look for "
            f"dangling ids by `manage.py loosen --check`."
        )

    def _check(self, key: str | None) -> None:
        keys = [each for each in dangling.loosened() if key in (None, f"{each.model}.{each.name}")]
        if not keys:
            raise CommandError(f"No migration has loosened {key or 'a key'}.", returncode=Exit.MISUSED)
        dangles = unknown = False
        for each in keys:
            try:
                found = dangling.of(each)
            except LookupError:
                unknown = True
                self.stdout.write(f"{each}: unknown, because {each.to} is not installed here")
                continue
            dangles |= found.rows > 0
            self.stdout.write(f"{each}: {found}")
        if dangles or unknown:
            raise CommandError(
                "Ids dangle." if dangles else "Not every key was looked at.",
                returncode=Exit.FOUND if dangles else Exit.UNKNOWN,
            )
