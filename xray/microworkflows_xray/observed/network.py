"""Calls over the network: hosts that the program connects or sends to while a unit is open."""

from __future__ import annotations

import functools
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
_CLIENTS = (("requests", "Session", "send"), ("httpx", "Client", "send"), ("httpx", "AsyncClient", "send"))
"""Libraries whose calls count even when a test lets nothing out: module, class and method, whose first argument has a ``url``."""


def hook(recording: Recording) -> ExitStack:
    """Record the hosts; the databases' own do not count."""
    opened = ExitStack()
    hosts: dict[str, str] = {}
    databases = _databases()

    def look_up(original: Callable[..., Any], host: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(host, *args, **kwargs)
        if isinstance(host, str) and len(hosts) < MOST_NAMES:
            hosts.update((str(address[0]), host) for *_, address in found)
        return found

    def note(address: Any) -> None:
        if isinstance(address, tuple) and len(address) >= 2:
            host, port = hosts.get(str(address[0]), str(address[0])), str(address[1])
            if (host, port) not in databases and (str(address[0]), port) not in databases:
                recording.called(f"{host}:{port}")

    def connect(original: Callable[..., Any], sock: socket.socket, address: Any) -> Any:
        if _in_unit(recording):
            _guarded(recording, note, address)
        return original(sock, address)

    def send(original: Callable[..., Any], sock: socket.socket, *args: Any) -> Any:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and _in_unit(recording):
            _guarded(recording, lambda: note(sock.getpeername()))
        return original(sock, *args)

    def request(original: Callable[..., Any], client: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        if _in_unit(recording):
            _guarded(recording, lambda: note(_address(str(message.url))))
        return original(client, message, *args, **kwargs)

    opened.enter_context(patched(socket, "getaddrinfo", look_up))
    for kind in (socket.socket, ssl.SSLSocket):
        for name, around in (("connect", connect), ("connect_ex", connect), ("send", send), ("sendall", send)):
            opened.enter_context(patched(kind, name, around))
    for module, owner, name in _CLIENTS:
        if module in sys.modules:
            opened.enter_context(patched(getattr(sys.modules[module], owner), name, request))
    return opened


def _in_unit(recording: Recording) -> bool:
    if recording.paused:
        return False
    return serving.get() is not None or any(connection in blocks for connection in connections.all(initialized_only=True))


def _guarded(recording: Recording, note: Callable[..., None], *args: Any) -> None:
    try:
        note(*args)
    except OSError:
        pass  # the socket has no peer any more; the program's own call will say so
    except Exception as error:
        recording.failed("looking at a call over the network", error)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


@functools.cache
def _default_ports() -> dict[str, str]:
    return {"postgresql": "5432", "mysql": "3306", "oracle": "1521"}


def _databases() -> set[tuple[str, str]]:
    found = set()
    for alias, settings in connections.settings.items():
        port = str(settings.get("PORT") or _default_ports().get(connections[alias].vendor, ""))
        for host in str(settings.get("HOST") or "localhost").split(","):
            found |= {(host, port), *((each, port) for each in ("127.0.0.1", "::1") if host == "localhost")}
    return found
