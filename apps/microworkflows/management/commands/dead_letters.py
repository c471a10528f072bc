"""``manage.py dead_letters``: the broker's dead letters, such as messages that a context's worker could not read."""

from typing import Any

from amqp.exceptions import MessageNacked
from celery import current_app
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu import Message

from microworkflows import topology, trust
from microworkflows.relay.publisher import login

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
        unknown = sorted(set(contexts) - set(topology.queues()))
        if unknown:
            raise CommandError(
                f"No such context: {', '.join(unknown)}. Installed are: {', '.join(topology.queues())}."
            )
        with current_app.connection_for_write() as connection:
            connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": True}
            channel: Any = connection.channel()
            topology.declare(channel)
            for name in contexts or topology.queues():
                queue = topology.dead_letter_name(name)
                count: int = channel.queue_declare(queue, passive=True).message_count
                self.stdout.write(f"{count:>8}  {queue}")
                # Take all first: a message that is given back, or dead again, must not come up again. Queue.get() would
                # raise for a body that it cannot decompress.
                taken = [channel.basic_get(queue) for _ in range(count)] if show or requeue or drop else []
                for message in map(channel.message_to_python, filter(None, taken)):
                    if show:
                        self._print(message)
                        continue
                    if requeue:
                        self._bring_back(message, channel, name)
                    message.ack()

    def _print(self, message: Message) -> None:
        raw: Any = message.body
        body = raw if isinstance(raw, str) else bytes(raw or b"").decode(errors="replace")
        self.stdout.write(f"          {message.content_type}: {body[:_LONGEST_BODY]}")
        message.requeue()

    def _bring_back(self, message: Message, channel: Any, queue: str) -> None:
        """Publish the message unchanged, whatever it is, and wait for the broker's confirm."""
        headers = {name: value for name, value in message.headers.items() if name != topology.DELIVERY_COUNT}
        if not message.errors:
            headers.pop("compression", None)  # Kombu has decompressed it
        properties: dict[str, Any] = {"delivery_mode": 2}
        if user := login(channel.connection.client):
            properties["user_id"] = user
            headers[trust.PUBLISHER] = trust.publisher(message, queue=queue)
        try:
            channel.basic_publish(
                channel.prepare_message(
                    message.body,
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                    headers=headers,
                    properties=properties,
                ),
                exchange=topology.exchange().name,
                routing_key=queue,
                mandatory=True,
            )
        except MessageNacked:
            raise CommandError(
                f"The queue {queue!r} does not take the message back (is it full?). It stays in "
                f"{topology.dead_letter_name(queue)!r}; try again later."
            ) from None
