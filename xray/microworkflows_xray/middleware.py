"""Middleware that records a share of the requests in production or staging: add it to MIDDLEWARE, as the first one.

It is set by environment variables: ``XRAY_SAMPLE`` is the share, from 0 (nothing happens) to 1; ``XRAY_DIRECTORY`` is the folder to which each
process writes a file of its own; ``XRAY_ROOT`` is the project's root (the current directory by default); ``XRAY_ALSO`` names installed
packages to look at as well, with commas. Neither parameters, nor values in the text of statements, nor paths of URLs are kept.
"""

from __future__ import annotations

import functools
import logging
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from microworkflows_xray.observed import requesting, writing
from microworkflows_xray.observed.units import Unit, serving

logger = logging.getLogger("microworkflows_xray")

Response = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class RecorderMiddleware:
    """Records a request in every ``1 / XRAY_SAMPLE``, chosen at random. Its own failures are logged, and fail no request."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Response) -> None:
        """Read the environment.

        Raises:
            MiddlewareNotUsed: ``XRAY_SAMPLE`` is 0 or absent; Django then leaves it out.
            ImproperlyConfigured: a variable is wrong; the text says which.
        """
        self._get_response = get_response
        self._share = _share()
        if not self._share:
            raise MiddlewareNotUsed("XRAY_SAMPLE is 0.")
        also = [name.strip() for name in os.environ.get("XRAY_ALSO", "").split(",") if name.strip()]
        # One for the process: each handler, such as a test client's, makes a middleware of its own.
        self._writer = _writer(_directory(), Path(os.environ.get("XRAY_ROOT", ".")), tuple(also), self._share)
        self._waits = iscoroutinefunction(get_response)
        if self._waits:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve a request, and record it if it is chosen."""
        if random.random() >= self._share:  # noqa: S311 - a sample, no secret
            return self._get_response(request)
        return self._serve_later(request) if self._waits else self._serve(request)

    def process_view(self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any) -> None:
        """Note the view, for what happens without any code that is looked at."""
        unit = serving.get()
        recording = self._writer.recording
        if unit is not None and recording is not None:
            requesting.lead(recording, view)

    def _serve(self, request: HttpRequest) -> Any:
        unit = self._begin()
        try:
            return self._get_response(request)
        finally:
            self._end(unit, request)

    async def _serve_later(self, request: HttpRequest) -> Any:
        unit = self._begin()
        try:
            return await self._get_response(request)  # type: ignore[misc]  # it is the asynchronous one
        finally:
            self._end(unit, request)

    def _begin(self) -> Unit | None:
        try:
            if not self._writer.is_ready():
                return None
            unit = Unit("request", atomic=False)
            serving.set(unit)
        except Exception:
            logger.warning("The X-ray could not record a request; the request goes on.", exc_info=True)
            return None
        else:
            return unit

    def _end(self, unit: Unit | None, request: HttpRequest) -> None:
        serving.set(None)
        if unit is None:
            return
        try:
            recording = self._writer.recording
            assert recording is not None
            recording.units += 1
            requesting.end(recording, unit, request)
            self._writer.write_if_due()
        except Exception:
            logger.warning("The X-ray could not record a request; the request goes on.", exc_info=True)


_writer = functools.cache(writing.Writer)


def _share() -> float:
    text = os.environ.get("XRAY_SAMPLE", "0")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ImproperlyConfigured(
            f"XRAY_SAMPLE is {text!r}; it must be a share of the requests from 0 to 1, such as 0.01."
        )
    return share


def _directory() -> Path:
    text = os.environ.get("XRAY_DIRECTORY", "")
    if not text:
        raise ImproperlyConfigured(
            "XRAY_SAMPLE is set, but XRAY_DIRECTORY is not: name the folder for the recordings."
        )
    return Path(text)
