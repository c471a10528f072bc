"""Exchanges and their bindings: one small JSON file each, replaced whole under a lock, read without one."""

import fcntl
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from microworkflows.embedded import files

logger = logging.getLogger(__name__)

# What `_put` writes; names with characters that JSON escapes are not found.
_KIND = re.compile(r'"type": "(direct|topic)"')
_ALTERNATE = re.compile(r'"alternate": "([^"\\]*)"')
_BINDING = re.compile(r'\[\s*"([^"\\]*)",\s*"([^"\\]*)"\s*\]')


class Exchange(NamedTuple):
    """The contents of an exchange's file."""

    kind: str  # topic or direct
    bindings: list[tuple[str, str]]  # routing key, queue
    alternate: str | None = (
        None  # name of the alternate exchange, which is kept and compared, and gets no messages
    )


class Exchanges:
    """The exchanges of the broker in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "bindings"

    def names(self) -> list[str]:
        """Return the names of all exchanges, sorted."""
        return sorted(files.file_to_name(path.stem) for path in self.folder.glob("[!.]*.json"))

    def get(self, name: str) -> Exchange | None:
        """Return the exchange; None if nobody declared it.

        Raises BrokerFolderError if its file is damaged; to declare the exchange mends it.
        """
        path = self._path(name)
        try:
            stored = json.loads(path.read_bytes())
            bindings = [(key, queue) for key, queue in stored["bindings"]]
            return Exchange(stored["type"], bindings, stored.get("alternate"))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise files.BrokerFolderError(
                f"{path} is not what the embedded broker wrote: {error!r}. "
                "Restart the workers: they mend it when they declare it again."
            ) from error

    def declare(self, name: str, kind: str, alternate: str | None = None) -> Exchange:
        """Create the exchange if it does not exist, or mend its file if that is damaged; return it as it is."""
        with self._lock():
            try:
                exchange = self.get(name)
            except files.BrokerFolderError:
                exchange = self._mend(name, kind, alternate)
            if exchange is None:
                exchange = Exchange(kind, [], alternate)
                self._put(name, exchange)
            return exchange

    def bind(self, name: str, routing_key: str, queue: str) -> bool:
        """Bind the queue; return False if nobody declared the exchange."""
        with self._lock():
            exchange = self.get(name)
            if exchange is None:
                return False
            if (routing_key, queue) not in exchange.bindings:
                bindings = [*exchange.bindings, (routing_key, queue)]
                self._put(name, exchange._replace(bindings=bindings))
            return True

    def unbind(self, name: str, routing_key: str, queue: str) -> None:
        """Remove one binding, if it exists."""
        with self._lock():
            self._keep(name, lambda binding: binding != (routing_key, queue))

    def unbind_everywhere(self, queue: str) -> None:
        """Remove every binding of the queue."""
        with self._lock():
            for name in self.names():
                self._keep(name, lambda binding: binding[1] != queue)

    def delete(self, name: str) -> None:
        """Remove the exchange with its bindings; its queues stay."""
        with self._lock():
            files.remove_if_there(self._path(name))

    def _mend(self, name: str, kind: str, alternate: str | None) -> Exchange:
        """Write the file anew from the whole bindings in it; an earlier version may have left half of it on a full disk."""
        text = self._path(name).read_text("ascii", "replace")
        found, owned = _KIND.search(text), _ALTERNATE.search(text)
        exchange = Exchange(
            found[1] if found else kind, _BINDING.findall(text), owned[1] if owned else alternate
        )
        self._put(name, exchange)
        logger.error(
            "mended %s, which was damaged: %d bindings were left; restart the workers of all other queues, for "
            "messages miss these until then",
            *(self._path(name), len(exchange.bindings)),
        )
        return exchange

    def _keep(self, name: str, wanted: Callable[[tuple[str, str]], bool]) -> None:
        exchange = self.get(name)
        if exchange is None:
            return
        kept = [binding for binding in exchange.bindings if wanted(binding)]
        if kept != exchange.bindings:
            self._put(name, exchange._replace(bindings=kept))

    def _put(self, name: str, exchange: Exchange) -> None:
        owned = {} if exchange.alternate is None else {"alternate": exchange.alternate}
        content = {"type": exchange.kind, **owned, "bindings": exchange.bindings}
        files.write_durably(self._path(name), json.dumps(content, indent=1).encode())

    def _path(self, name: str) -> Path:
        return self.folder / f"{files.name_to_file(name)}.json"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # flock, not a record lock: it belongs to this opening of the file, so threads exclude each other too.
        descriptor = files.open_or_make(self.folder / ".lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # Unlocked explicitly, since a child forked meanwhile has a copy that would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
