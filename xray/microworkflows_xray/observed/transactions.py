"""Transactions: atomic blocks, of which the outermost counts, and the callbacks that wait for their commit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.transaction import Atomic

from microworkflows_xray.observed import names
from microworkflows_xray.observed.patching import patched
from microworkflows_xray.observed.recording import Recording
from microworkflows_xray.observed.units import Block, Unit, blocks, serving

_SKIPPED = ("contextlib.py", "django/db/transaction.py", "observed/patching.py", "observed/transactions.py")
_HANDLERS = ("django/core/handlers/base.py", "asgiref/sync.py")


def hook(recording: Recording) -> ExitStack:
    """Record each outermost atomic block. The ones that Django's test cases run in do not count."""
    opened = ExitStack()

    def enter(original: Callable[..., Any], atomic: Atomic) -> Any:
        entered = original(atomic)
        try:
            if recording.listens() and not getattr(atomic, "_from_testcase", False):
                _enter(recording, connections[atomic.using or DEFAULT_DB_ALIAS], sys._getframe(1))  # noqa: SLF001
        except Exception as error:
            recording.failed("opening a transaction", error)
        return entered

    def leave(original: Callable[..., Any], atomic: Atomic, kind: Any, error: Any, trace: Any) -> Any:
        try:
            # Before the commit, because its callbacks run in there, and are not part of the transaction.
            if not getattr(atomic, "_from_testcase", False):
                _leave(recording, connections[atomic.using or DEFAULT_DB_ALIAS], failed=kind is not None)
        except Exception as failure:
            recording.failed("closing a transaction", failure)
        return original(atomic, kind, error, trace)

    opened.enter_context(patched(Atomic, "__enter__", enter))
    opened.enter_context(patched(Atomic, "__exit__", leave))
    return opened


def _enter(recording: Recording, connection: Any, frame: FrameType) -> None:
    block = blocks.get(connection)
    if block is None:
        request = serving.get()
        name, kind = _opener(recording, frame)
        if kind == "request" and request is not None:
            request.atomic, unit = True, request
        else:
            unit = Unit("atomic" if kind == "request" else kind, name, around=request)
        block = blocks[connection] = Block(unit, len(connection.run_on_commit))
    block.depth += 1


def _leave(recording: Recording, connection: Any, *, failed: bool) -> None:
    block = blocks.get(connection)
    if block is None:
        return
    block.depth -= 1
    if block.depth:
        return
    del blocks[connection]
    if not failed:
        block.unit.on_commit += [
            names.of_callable(entry[1]) for entry in connection.run_on_commit[block.callbacks :]
        ]
    if block.unit is not serving.get():
        block.unit.close(recording.tally)


def _opener(recording: Recording, frame: FrameType | None) -> tuple[str, Any]:
    """Name the function that opened a block, and tell the block's kind."""
    while frame is not None and frame.f_code.co_filename.replace("\\", "/").endswith(_SKIPPED):
        if frame.f_code.co_name == "inner" and callable(decorated := frame.f_locals.get("func")):
            if _is_view_of_handler(frame):
                return "", "request"
            return names.of_callable(decorated), "atomic"
        frame = frame.f_back
    if frame is None:
        return "", "atomic"
    stack = recording.places.read(frame)
    if stack.test:
        return "", "test"
    if stack.spot is not None and stack.spot.place.function:
        return stack.spot.place.function, "atomic"
    return recording.places.name(frame.f_code, frame), "atomic"


def _is_view_of_handler(frame: FrameType) -> bool:
    """Tell whether Django itself put the block around a view, because of ATOMIC_REQUESTS."""
    caller = frame.f_back
    if caller is None or not caller.f_code.co_filename.replace("\\", "/").endswith(_HANDLERS):
        return False
    return any(settings.get("ATOMIC_REQUESTS") for settings in connections.settings.values())
