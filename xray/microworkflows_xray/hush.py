"""Keep a project that is only looked at from touching the world: no connection, no log file, no compiled file."""

from __future__ import annotations

import contextlib
import logging.config
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn


def disconnect() -> None:
    """Refuse, for the rest of this process, every connection to a database or over a socket, and every set-up of logging."""
    from django.db.backends.base.base import BaseDatabaseWrapper

    sys.dont_write_bytecode = True
    logging.config.dictConfig = logging.config.fileConfig = _nothing
    socket.getaddrinfo = _refuse_name
    socket.socket.connect = _refuse_socket  # type: ignore[assignment, method-assign]
    socket.socket.connect_ex = _refuse_socket  # type: ignore[assignment, method-assign]
    BaseDatabaseWrapper.connect = _refuse_database  # type: ignore[method-assign]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let what the project prints while it is imported go to the standard error, and silence its warnings."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in code that takes longer, where the platform has an alarm."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda *_: _late(seconds))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _late(seconds: int) -> NoReturn:
    raise TimeoutError(f"It took more than {seconds} seconds.")


def _nothing(*args: Any, **options: Any) -> None:
    """Set up no logging: a handler may open a file or a connection."""


def _refuse_socket(self: socket.socket, address: Any) -> NoReturn:
    raise ConnectionRefusedError(f"The X-ray connects to nothing, so not to {address}.")


def _refuse_name(host: Any, *args: Any, **options: Any) -> NoReturn:
    raise socket.gaierror(f"The X-ray connects to nothing, so not to {host}.")


def _refuse_database(self: Any) -> NoReturn:
    from django.db import OperationalError

    raise OperationalError("The X-ray connects to no database.")
