"""The kit's settings: the dictionary ``MICROWORKFLOWS`` of the Django settings, with defaults, read at call time."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, its default and its unit; in ``MICROWORKFLOWS`` the names are in capitals."""

    exchange: str = "microworkflows"
    """Name of the topic exchange through which all events go."""
    max_attempts: int = 10
    """How often a microworkflow is tried on one event before the message is parked."""
    retry_delay: float = 1.0
    """Seconds before the second attempt; each further delay is twice as long, less a random part (jitter)."""
    retry_max_delay: float = 3600.0
    """Longest delay between two attempts, in seconds."""
    bundle: int = 16
    """How many waiting messages a process of a worker takes at most at once; 1: each is handled by itself."""
    relay_batch: int = 500
    """How many events the relay publishes before it waits for the broker's confirms."""
    relay_poll: float = 0.5
    """Seconds between two looks for due retries, and into the outbox where nothing wakes the relay sooner."""
    relay_poll_embedded: float = 0.05
    """Seconds between two looks into an outbox in SQLite, which cannot wake the relay as PostgreSQL's NOTIFY does."""
    confirm_timeout: float = 30.0
    """Seconds that the relay waits for the broker's confirms before it connects anew and publishes again."""
    redelivery_lease: float = 60.0
    """Seconds after which a redelivered message that is still waiting is redelivered once more."""
    retention_days: int = 30
    """Age in days at which `purge_events` deletes what is done."""
    cutover: Sequence[str] = ()
    """Labels of the contexts that a monolith is handing over; empty where there is none (any more)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "cutover":
                good = isinstance(value, list | tuple) and all(
                    isinstance(name, str) and name for name in value
                )
                kind = "a list of labels of contexts"
            elif field.type is str:
                good, kind = isinstance(value, str) and value != "", "a name"
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
                good, kind = False, "a number above 0"
            else:
                good, kind = isinstance(value, int) or field.type is float, "a whole number"
            if not good:
                raise ImproperlyConfigured(
                    f"MICROWORKFLOWS[{field.name.upper()!r}] is {value!r}; it must be {kind}."
                )


def current() -> Settings:
    """Return the settings in force.

    Raises:
        ImproperlyConfigured: ``MICROWORKFLOWS`` has a name that the kit does not know, or a value out of range.
    """
    given = getattr(settings, "MICROWORKFLOWS", {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"MICROWORKFLOWS is {given!r}; it must be a dictionary.")
    global _read
    if given != _read[0]:
        _read = dict(given), _parse(given)
    return _read[1]


def _parse(given: dict[Any, Any]) -> Settings:
    known = {field.name.upper(): field.name for field in fields(Settings)}
    if unknown := sorted(str(name) for name in given if name not in known):
        raise ImproperlyConfigured(
            f"MICROWORKFLOWS has unknown settings: {', '.join(unknown)}. Known are: {', '.join(known)}."
        )
    return Settings(**{known[name]: value for name, value in given.items()})


_read: tuple[dict[Any, Any], Settings] = {}, Settings()
"""What was last read, and what it means: this is asked for at every event."""
