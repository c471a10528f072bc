"""The kit's settings: the dictionary ``MICROWORKFLOWS`` of the Django settings, with defaults, read at call time."""

from dataclasses import dataclass, fields
from functools import lru_cache
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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is str:
                if not isinstance(value, str) or not value:
                    raise ImproperlyConfigured(
                        f"MICROWORKFLOWS[{field.name.upper()!r}] is {value!r}; it must be a name."
                    )
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
                raise ImproperlyConfigured(
                    f"MICROWORKFLOWS[{field.name.upper()!r}] is {value!r}; it must be a number above 0."
                )
            elif field.type is int and not isinstance(value, int):
                raise ImproperlyConfigured(
                    f"MICROWORKFLOWS[{field.name.upper()!r}] is {value!r}; it must be a whole number."
                )


def current() -> Settings:
    """Return the settings in force.

    Raises:
        ImproperlyConfigured: ``MICROWORKFLOWS`` has a name that the kit does not know, or a value out of range.
    """
    return _parse(tuple(getattr(settings, "MICROWORKFLOWS", {}).items()))


@lru_cache(maxsize=8)
def _parse(items: tuple[tuple[str, Any], ...]) -> Settings:
    known = {field.name.upper(): field.name for field in fields(Settings)}
    unknown = sorted(name for name, _ in items if name not in known)
    if unknown:
        raise ImproperlyConfigured(
            f"MICROWORKFLOWS has unknown settings: {', '.join(unknown)}. Known are: {', '.join(known)}."
        )
    return Settings(**{known[name]: value for name, value in items})
