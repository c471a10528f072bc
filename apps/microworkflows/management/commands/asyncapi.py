"""``manage.py asyncapi``: print, write or check the AsyncAPI document of all installed contexts."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from microworkflows import asyncapi
from microworkflows.management.generated import GeneratingCommand


class Command(GeneratingCommand):
    subject = "The AsyncAPI document"
    help = (
        "Prints an AsyncAPI 3.0 document, as JSON: the channels, messages and operations of all installed contexts, with AMQP "
        "bindings, for generators and catalogues."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--title", default="Events", help="title of the document; by default Events")
        parser.add_argument(
            "--document-version", default="1.0.0", metavar="VERSION", help="its version; by default 1.0.0"
        )
        self.add_targets(parser, write="write it to FILE", check="fail when FILE is stale")

    def handle(
        self,
        *args: Any,
        title: str,
        document_version: str,
        output: Path | None,
        check: Path | None,
        **options: Any,
    ) -> None:
        self.deliver(
            asyncapi.as_text(asyncapi.document(title=title, version=document_version)),
            output=output,
            check=check,
            stale="events, microworkflows or options have changed since. Write it anew: manage.py asyncapi "
            f"--title '{title}' --document-version {document_version}",
        )
