"""Calls over the network: hosts that the program connects or sends to while a unit is open."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from django.db import connections

from microworkflows_xray.observed.patching import patched
from microworkflows_xray.observed.recording import Recording
from microworkflows_xray.observed.units import blocks, serving

MOST_NAMES = 1_000
"""Names of hosts are remembered up to this number; others are recorded by their address."""
_CLIENTS = (("requests", "Session", "send"), ("httpx", "Client", "send"), ("httpx", "AsyncClient", "send"))
"""Libraries whose calls count even when a test lets nothing out: module, class, and a method that takes a message with a ``url``."""
_PORTS = {"postgresql": "5432", "mysql": "3306", "oracle": "1521"}


def hook(recording: Recording) -> ExitStack:
    """Record the hosts; the databases' own do not count."""
    opened = ExitStack()
    watch = _Watch(recording)
    opened.enter_context(patched(socket, "getaddrinfo", watch.look_up))
    for kind in (socket.socket, ssl.SSLSocket):
        for name in ("connect", "connect_ex"):
            opened.enter_context(patched(kind, name, watch.connect))
        for name in ("send", "sendall"):
            opened.enter_context(patched(kind, name, watch.send))
    for module, owner, name in _CLIENTS:
        if module in sys.modules:
            opened.enter_context(patched(getattr(sys.modules[module], owner), name, watch.request))
    return opened


class _Watch:
    """Stands around the functions that reach the network."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._names: dict[str, str] = {}
        self._databases = _databases()

    def look_up(self, original: Callable[..., Any], host: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(host, *args, **kwargs)
        if isinstance(host, str) and len(self._names) < MOST_NAMES:
            self._names.update((str(address[0]), host) for *_, address in found)
        return found

    def connect(self, original: Callable[..., Any], sock: socket.socket, address: Any) -> Any:
        self._note(lambda: address)
        return original(sock, address)

    def send(self, original: Callable[..., Any], sock: socket.socket, *args: Any) -> Any:
        self._note(sock.getpeername)  # a connection may be older than the unit
        return original(sock, *args)

    def request(
        self, original: Callable[..., Any], client: Any, message: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self._note(lambda: _address(str(message.url)))
        return original(client, message, *args, **kwargs)

    def _note(self, address: Callable[[], Any]) -> None:
        try:
            if self._in_unit():
                self._called(address())
        except OSError:
            pass  # the socket has no peer any more; the program's own call will say so
        except Exception as error:
            self._recording.failed("looking at a call over the network", error)

    def _in_unit(self) -> bool:
        if self._recording.paused:
            return False
        if serving.get() is not None:
            return True
        return any(connection in blocks for connection in connections.all(initialized_only=True))

    def _called(self, address: Any) -> None:
        if not isinstance(address, tuple) or len(address) < 2:
            return  # a socket in the file system
        number, port = str(address[0]), str(address[1])
        host = self._names.get(number, number)
        if not {(host, port), (number, port)} & self._databases:
            self._recording.called(f"{host}:{port}")


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _databases() -> set[tuple[str, str]]:
    found = set()
    for alias, settings in connections.settings.items():
        port = str(settings.get("PORT") or _PORTS.get(connections[alias].vendor, ""))
        for host in str(settings.get("HOST") or "localhost").split(","):
            found.add((host, port))
            if host == "localhost":
                found |= {("127.0.0.1", port), ("::1", port)}
    return found
