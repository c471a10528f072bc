"""Documents that commands generate from the declarations: printed, written to a file, or compared with one that may be stale."""

from pathlib import Path

from django.core.management.base import CommandError, CommandParser

from microworkflows.management.base import KitCommand


class GeneratingCommand(KitCommand):
    """A command that generates a document."""

    subject: str
    """What it generates, such as ``The flow map``."""
    verb = "is"

    def add_targets(self, parser: CommandParser, *, write: str, check: str) -> None:
        """Add the options ``--output`` and ``--check``, of which one at most may be given; the texts are their help."""
        target = parser.add_mutually_exclusive_group()
        target.add_argument("--output", type=Path, metavar="FILE", help=write)
        target.add_argument("--check", type=Path, metavar="FILE", help=check)

    def deliver(self, fresh: str, *, output: Path | None, check: Path | None, stale: str) -> None:
        """Write the document to ``output``, compare it with ``check``, or print it.

        Args:
            fresh: The document.
            output: The file to write.
            check: The file to compare it with.
            stale: What to say of a file that holds another document, after its name.

        Raises:
            CommandError: ``check`` is missing or stale.
        """
        if output is not None:
            output.write_text(fresh, encoding="utf-8")
            self.stdout.write(f"{self.subject} {self.verb} written to {output}.")
        elif check is None:
            self.stdout.write(fresh, ending="")
        elif not check.exists() or check.read_text(encoding="utf-8") != fresh:
            raise CommandError(f"{self.subject} in {check} {self.verb} stale: {stale} --output {check}")
        else:
            self.stdout.write(f"{self.subject} in {check} {self.verb} fresh.")
