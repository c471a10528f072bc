"""Deadlines that a test declares for the probe's events, by the setting ``PROBE_DEADLINES``: seconds after ``Asked``, by name."""

from datetime import timedelta

from django.conf import settings

from microworkflows import deadline
from tests.integration.probe import events


def declare() -> None:
    """Declare them, as a module of microworkflows does."""
    for name, seconds in getattr(settings, "PROBE_DEADLINES", {}).items():
        deadline(getattr(events, name), within=timedelta(seconds=seconds), of=events.Asked)(declare)
