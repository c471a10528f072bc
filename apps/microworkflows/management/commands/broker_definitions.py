"""``manage.py broker_definitions``: print, write or check what an administrator of RabbitMQ imports."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from microworkflows import definitions
from microworkflows.management.generated import GeneratingCommand


class Command(GeneratingCommand):
    subject, verb = "The definitions", "are"
    help = (
        "Prints exchange, queues, bindings and least rights of all installed contexts, in RabbitMQ's format of "
        "definitions, for `rabbitmqctl import_definitions`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--vhost", default="/", help="virtual host that they belong to; by default /")
        self.add_targets(parser, write="write them to FILE", check="fail when FILE has others")

    def handle(self, *args: Any, vhost: str, output: Path | None, check: Path | None, **options: Any) -> None:
        self.deliver(
            definitions.as_text(definitions.definitions(vhost=vhost)),
            output=output,
            check=check,
            stale="subscriptions or settings have changed since. Write them anew, and import them at the broker: "
            f"manage.py broker_definitions --vhost {vhost}",
        )
