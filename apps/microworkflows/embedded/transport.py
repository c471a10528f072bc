"""Kombu's transport to the broker's folder."""

import errno
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import unquote, urlsplit

from kombu.transport import virtual

from microworkflows.embedded import files
from microworkflows.embedded.channel import MOST_HELD, Channel
from microworkflows.embedded.queues import Taken

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Transport(virtual.Transport):
    """Kombu's transport for `embedded:///absolute/path/of/a/folder`. Use it through `kombu.Connection`."""

    Channel = Channel
    # Kombu's own parser drops the first slash and what follows a "#"; its as_uri() adds a host and a password.
    can_parse_url = True
    polling_interval: float = 0.05
    driver_type = driver_name = "embedded"
    # Without fanout, Celery leaves out remote control, gossip and mingle. With asynchronous, each process of Celery's
    # pool has a pipe of its own; else they share one, whose lock a killed process never gives back.
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic"]), heartbeats=False
    )
    # As for a broker behind a socket, OSError means to reconnect and go on.
    connection_errors: Any = (*virtual.Transport.connection_errors, OSError)
    cycle: Any

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.folder = Path()
        self.taken: dict[str, Taken] = {}  # by delivery tag
        self._room = threading.Event()  # set when a message was settled, perhaps by another thread
        self._loop: Any = None
        self._looks: Any = None

    def establish_connection(self) -> "Transport":
        self.folder = _usable_folder(self.client)
        super().establish_connection()
        return self

    def close_connection(self, connection: Any) -> None:
        if self._looks is not None:
            self._looks.cancel()
        self._loop = None
        super().close_connection(connection)
        while self.taken:
            self.taken.popitem()[1].release()

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:
        """Deliver one message; wait for it for `timeout` seconds, then raise TimeoutError (socket.timeout).

        This does as Kombu's, except that room in the prefetch window ends the pause between two looks.
        """
        ends_at = None if timeout is None else time.monotonic() + timeout
        while True:
            self._room.clear()
            try:
                self.cycle.get(self._deliver, timeout=timeout)
            except Empty:
                left = self.polling_interval if ends_at is None else ends_at - time.monotonic()
                if left <= 0:
                    raise TimeoutError from None
                self._room.wait(min(self.polling_interval, left))
            else:
                return

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Deliver from Celery's event loop: at each polling interval, and as soon as there is room."""
        self._loop, self._looks = loop, loop.call_repeatedly(self.polling_interval, self._look)

    def make_room(self) -> None:
        """Look for the next message without a pause, since one was settled."""
        self._room.set()
        if self._loop is not None:
            self._loop.call_later(0, self._look)

    def _look(self) -> None:
        with suppress(Empty):
            for _ in range(MOST_HELD):
                self.cycle.get(self._deliver)

    def driver_version(self) -> str:
        return "1"

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        return uri


def _usable_folder(client: Any) -> Path:
    """Return the folder that the connection's URL names, without symbolic links; create it and test that it is usable."""
    folder = folder_of(client)
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        for name in ("bindings", "queues"):
            files.make_folder(folder / name)
        _test_writing(folder / "queues")
    except OSError as error:
        raise files.BrokerFolderError(
            f"The embedded broker cannot use {folder}: {error.strerror or error}. BROKER_URL must name a folder "
            "that all processes may write to, on a local disk with space: correct the URL, or the folder's owner "
            "and mode."
        ) from error
    return folder


def _test_writing(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno not in _NO_ROOM:  # who consumes makes room
            raise


def folder_of(client: Any) -> Path:
    """Return the folder that a connection's URL names; raises BrokerFolderError if it names none, or several."""
    url = ";".join(client.alt) or client.hostname or ""
    parts = urlsplit(url)
    folder = Path(unquote(parts.path)).resolve()
    one_folder = parts.scheme == "embedded" and not (parts.netloc or parts.query or parts.fragment)
    if one_folder and len(client.alt) < 2 and parts.path and folder != Path("/"):
        return folder
    raise files.BrokerFolderError(
        f"The broker URL {url!r} does not name one folder. Write embedded:// and its absolute path, as in "
        "embedded:///srv/shop/broker, with %23 for #, %25 for %, %3B for ; and %3F for ?."
    )
