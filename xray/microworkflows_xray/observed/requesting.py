"""Requests: each is a unit, named after its method and URL, whether or not it commits as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.core.handlers.base import BaseHandler

from microworkflows_xray.observed.patching import patched
from microworkflows_xray.observed.recording import Recording
from microworkflows_xray.observed.units import Unit, serving

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


def hook(recording: Recording) -> ExitStack:
    """Record every request that Django's handlers serve, those of test clients included."""
    opened = ExitStack()

    def respond(original: Callable[..., Any], handler: BaseHandler, request: Any) -> Any:
        if recording.paused:
            return original(handler, request)
        unit, before = Unit("request", around=serving.get(), atomic=False), serving.get()
        serving.set(unit)
        try:
            return original(handler, request)
        finally:
            serving.set(before)
            end(recording, unit, request)

    async def respond_later(original: Callable[..., Any], handler: BaseHandler, request: Any) -> Any:
        if recording.paused:
            return await original(handler, request)
        unit, before = Unit("request", around=serving.get(), atomic=False), serving.get()
        serving.set(unit)
        try:
            return await original(handler, request)
        finally:
            serving.set(before)
            end(recording, unit, request)

    def resolve(original: Callable[..., Any], handler: BaseHandler, request: Any) -> Any:
        match = original(handler, request)
        lead(recording, match.func)
        return match

    opened.enter_context(patched(BaseHandler, "get_response", respond))
    opened.enter_context(patched(BaseHandler, "get_response_async", respond_later))
    opened.enter_context(patched(BaseHandler, "resolve_request", resolve))
    return opened


def lead(recording: Recording, view: Any) -> None:
    """Note the view to which the current request leads."""
    unit = serving.get()
    if unit is None:
        return
    try:
        unit.spot = recording.targets.of(view)
    except Exception as error:
        recording.failed("looking for a view's place", error)


def end(recording: Recording, unit: Unit, request: Any) -> None:
    """Name a request's unit, now that its URL is resolved, and add it to what was seen."""
    try:
        match = getattr(request, "resolver_match", None)
        # Never the path: it may name a person.
        method = request.method if request.method in _METHODS else "OTHER"
        unit.name = f"{method} {match.view_name if match else '(unresolved)'}"
        unit.close(recording.tally)
    except Exception as error:
        recording.failed("ending a request", error)
