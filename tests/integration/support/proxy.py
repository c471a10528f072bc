"""A TCP proxy in front of a server: passes on, fast or slowly; cuts connections on one side or both, stalls, or is gone."""

import contextlib
import socket
import struct
import threading
import time
from typing import Self

_SLICE_SECONDS = 0.05
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST at once


class Proxy:
    """Listens on a port of its own; use it as a context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._clients: set[socket.socket] = set()
        self._left_open: set[socket.socket] = set()
        self._silent = threading.Event()
        self._flows = threading.Event()
        self._flows.set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self.cut_after: bytes | None = None
        """Cut all once a client has sent these bytes: the server gets them, its answer gets lost."""
        self.only_of: bytes | None = None
        """Bytes by which such a client is told from others: it has sent them before."""
        self.silent_after: bytes | None = None
        """Fall silent once a client has sent these bytes."""
        self.bytes_per_second: float | None = None
        """Throughput of each direction of a connection; None: as much as comes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()

    def cut(self) -> None:
        """Reset every connection that there is; new ones are welcome."""
        with self._lock:
            doomed, self._sockets, self._clients = self._sockets | self._left_open, set(), set()
            self._left_open = set()
        self._reset(doomed)

    def lose_clients(self) -> None:
        """Reset the clients' side of every connection: the server's side stays open, and hears nothing more."""
        with self._lock:
            gone, self._left_open = self._clients, self._left_open | (self._sockets - self._clients)
            self._sockets, self._clients = set(), set()
        self._reset(gone)

    def lose_server(self) -> None:
        """Reset the server's side of every connection: the clients' side stays open, and hears nothing more."""
        with self._lock:
            gone, self._left_open = self._sockets - self._clients, self._left_open | self._clients
            self._sockets, self._clients = set(), set()
        self._reset(gone)

    @staticmethod
    def _reset(ends: set[socket.socket]) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def stall(self) -> None:
        """Pass on nothing, lose nothing and close nothing, as a broken link does until TCP gives up."""
        self._flows.clear()

    def vanish(self) -> None:
        """Reset every connection and refuse new ones, as a server does that is not running."""
        self._listener.close()
        self.cut()

    def silence(self) -> None:
        """Swallow what comes, say nothing, close nothing; new connections find the same silence."""
        self._silent.set()

    def restore(self) -> None:
        """Pass on again, at full speed; connections that met the silence are reset, for their bytes are gone."""
        self._flows.set()
        self.bytes_per_second = None
        if self._silent.is_set():
            self._silent.clear()
            self.cut()
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        listener.settimeout(0.2)
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while listener.fileno() >= 0:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(None)
            self.accepted += 1
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, server}
                self._clients.add(client)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=[source, sink], daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        is_told = False
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                is_told = is_told or self.only_of is None or self.only_of in data
                if self.silent_after is not None and self.silent_after in data:
                    self.silent_after = None
                    self._silent.set()
                if self._silent.is_set():
                    continue
                if self.cut_after is not None and self.cut_after in data and is_told:
                    self.cut_after = None
                    self._silent.set()
                    sink.sendall(data)
                    time.sleep(0.3)  # the server is to act on it
                    self._silent.clear()
                    self.cut()
                    return
                self._pass_on(data, sink)
        while self._silent.is_set():  # an end that closes is not told of either
            time.sleep(0.05)
        with self._lock:
            ends = {sink, source} - self._left_open
            self._sockets -= ends
            self._clients -= ends
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _pass_on(self, data: bytes, sink: socket.socket) -> None:
        while data and sink not in self._left_open:
            self._flows.wait()
            rate = self.bytes_per_second
            size = len(data) if rate is None else max(int(rate * _SLICE_SECONDS), 1)
            sink.sendall(data[:size])
            data = data[size:]
            if rate is not None:
                time.sleep(_SLICE_SECONDS)
