"""The embedded broker: a Kombu transport that keeps every message as a file (`BROKER_URL=embedded:///folder`).

It needs no server, and a message survives the death of the process that publishes or handles it. Its promises, and the
reasons for it beside Kombu's own `filesystem://`, are in docs/adr/0002-embedded-broker.md.
"""

try:
    import fcntl  # noqa: F401  (imported for an early and clear error where it is missing)
except ImportError as error:
    raise ImportError(
        "The embedded broker locks its messages with POSIX file locks (the fcntl module), which this system "
        "does not have. On Windows run it inside WSL, or use RabbitMQ: set BROKER_URL=amqp://user:password@host//."
    ) from error

from kombu.transport import TRANSPORT_ALIASES

from microworkflows.embedded.channel import Channel
from microworkflows.embedded.files import BrokerFolderError
from microworkflows.embedded.transport import Transport, folder_of

__all__ = ["BrokerFolderError", "Channel", "Transport", "folder_of", "register"]


def register() -> None:
    """Teach Kombu the scheme `embedded://` in this process. Calling it again changes nothing."""
    TRANSPORT_ALIASES["embedded"] = "microworkflows.embedded:Transport"
