"""``manage.py dead_letters``: what a context's worker could not read, kept by the broker."""

from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu import Message, Producer

from microworkflows import registry, topology

_LONGEST_BODY = 500


class Command(BaseCommand):
    help = "Count, show, requeue or drop the messages in the dead-letter queues of contexts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("contexts", nargs="*", help="labels of contexts; by default all")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--show", action="store_true", help="print each message; it stays where it is")
        what.add_argument(
            "--requeue", action="store_true", help="bring them back to the queue of their context"
        )
        what.add_argument("--drop", action="store_true", help="delete them for good")

    def handle(
        self, *args: Any, contexts: list[str], show: bool, requeue: bool, drop: bool, **options: Any
    ) -> None:
        unknown = sorted(set(contexts) - set(registry.contexts()))
        if unknown:
            raise CommandError(
                f"No such context: {', '.join(unknown)}. Installed are: {registry.contexts()}."
            )
        with current_app.connection_for_write() as connection:
            connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": True}
            channel: Any = connection.channel()
            topology.declare(channel)
            for context in contexts or registry.contexts():
                queue = topology.dead_letters(context)(channel)
                count: int = channel.queue_declare(queue.name, passive=True).message_count
                self.stdout.write(f"{count:>8}  {queue.name}")
                messages = [queue.get() for _ in range(count)] if show or requeue or drop else []
                for message in filter(None, messages):
                    if show:
                        self._print(message)
                    else:
                        self._settle(message, channel, context, requeue=requeue)

    def _print(self, message: Message) -> None:
        raw: Any = message.body
        body = raw if isinstance(raw, str) else bytes(raw or b"").decode(errors="replace")
        self.stdout.write(f"          {message.content_type}: {body[:_LONGEST_BODY]}")
        message.requeue()

    def _settle(self, message: Message, channel: Any, context: str, *, requeue: bool) -> None:
        if requeue:
            Producer(channel, exchange=topology.exchange()).publish(
                message.body,
                routing_key=context,
                content_type=message.content_type,
                content_encoding=message.content_encoding or "utf-8",
                headers=message.headers,
                mandatory=True,
                delivery_mode=2,
            )
        message.ack()
