"""The other transactional outboxes that the relay is measured against, each as its own documentation sets it up.

A peer is a program in a folder of its own, run by the Python of its own virtual environment. It knows four actions:

- ``migrate`` makes its tables.
- ``record N`` commits N events to its outbox, at most 500 in a transaction, and prints ``recorded N``.
- ``relay`` prints ``relaying`` and relays until SIGTERM.
- ``latency N SECONDS`` commits N events one by one, so many seconds apart (half as many to half as many again),
  and prints each marker with the monotonic clock's nanoseconds after the commit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers import environments


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One peer in one variant."""

    name: str
    """Its folder here."""
    variant: str
    title: str
    confirmed: bool
    """Whether it waits for the broker's confirm before it takes an event for relayed."""
    quick: bool = False
    """Whether the quick run measures it."""

    def command(self, action: str, *arguments: float, say: Callable[[str], None]) -> list[str]:
        """Return the command line of an action; the first time, make the environment that it runs in.

        Raises:
            PeerEnvironmentError: that cannot be made.
        """
        interpreter = environments.python(self.name, say=say)
        program = environments.FOLDER / self.name / "program.py"
        return [str(interpreter), str(program), action, *map(str, arguments)]

    def environment(
        self, *, database_url: str, broker_url: str, stomp_port: int, queue: str
    ) -> dict[str, str]:
        """Return what its process needs on top of the harness's own environment.

        The queue must be there, in the virtual host of the URL: a durable quorum queue with no other arguments.
        """
        return {
            "DATABASE_URL": database_url,
            "BROKER_URL": broker_url,
            "STOMP_PORT": str(stomp_port),
            "QUEUE": queue,
            "VARIANT": self.variant,
            "PYTHONPATH": "",
            "PYTHONUNBUFFERED": "1",
        }


_OUTBOX_PATTERN = "django-outbox-pattern 3.2.1"
_CELERY_OUTBOX = "django-celery-outbox 0.4.3"
_JAIMINHO = "django-jaiminho 2.2.1, keep-order"
_FASTSTREAM = "faststream-outbox 0.19.0"

PEERS: list[Peer] = [
    Peer(name="django_outbox_pattern", variant="default", title=_OUTBOX_PATTERN, confirmed=False, quick=True),
    Peer(name="django_celery_outbox", variant="default", title=_CELERY_OUTBOX, confirmed=False),
    Peer(
        name="django_celery_outbox",
        variant="tuned",
        title=f"{_CELERY_OUTBOX}, tuned",
        confirmed=False,
        quick=True,
    ),
    Peer(
        name="django_celery_outbox",
        variant="confirmed",
        title=f"{_CELERY_OUTBOX}, confirm_publish",
        confirmed=True,
    ),
    Peer(
        name="django_celery_outbox",
        variant="confirmed-tuned",
        title=f"{_CELERY_OUTBOX}, confirm_publish, tuned",
        confirmed=True,
    ),
    Peer(name="django_jaiminho", variant="default", title=_JAIMINHO, confirmed=False),
    Peer(name="django_jaiminho", variant="confirmed", title=f"{_JAIMINHO}, confirms", confirmed=True),
    Peer(name="faststream_outbox", variant="default", title=_FASTSTREAM, confirmed=True),
    Peer(
        name="faststream_outbox",
        variant="tuned",
        title=f"{_FASTSTREAM}, tuned",
        confirmed=True,
        quick=True,
    ),
]
