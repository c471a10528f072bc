"""``manage.py broker_definitions``: print, write or check what an administrator of RabbitMQ imports."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from microworkflows import definitions


class Command(BaseCommand):
    help = (
        "Prints exchange, queues, bindings and least rights of all installed contexts, in RabbitMQ's format of "
        "definitions, for `rabbitmqctl import_definitions`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--vhost", default="/", help="virtual host that they belong to; by default /")
        target = parser.add_mutually_exclusive_group()
        target.add_argument("--output", type=Path, metavar="FILE", help="write them to FILE")
        target.add_argument("--check", type=Path, metavar="FILE", help="fail when FILE has others")

    def handle(self, *args: Any, vhost: str, output: Path | None, check: Path | None, **options: Any) -> None:
        fresh = definitions.as_text(definitions.definitions(vhost=vhost))
        if output is not None:
            output.write_text(fresh, encoding="utf-8")
            self.stdout.write(f"The definitions are written to {output}.")
        elif check is not None:
            if not check.exists() or check.read_text(encoding="utf-8") != fresh:
                raise CommandError(
                    f"The definitions in {check} are stale: subscriptions or settings have changed since. Write them "
                    f"anew, and import them at the broker: manage.py broker_definitions --vhost {vhost} --output {check}"
                )
            self.stdout.write(f"The definitions in {check} are fresh.")
        else:
            self.stdout.write(fresh, ending="")
