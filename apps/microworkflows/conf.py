"""The kit's settings: the dictionary ``MICROWORKFLOWS`` of the Django settings, with defaults, read at call time."""

from typing import Annotated, Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(min_length=1)]
Prefix = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_.-]*$")]
Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of ``MICROWORKFLOWS``. Each field is a setting, whose key there is the field's name in capitals."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Settings(Section):
    """The core's settings, each with its default and its unit."""

    exchange: Name = "microworkflows"
    """Name of the topic exchange through which all events go, less `PREFIX`."""
    prefix: Prefix = ""
    """Begins the name of everything that the kit declares at the broker, so that projects can share a virtual host."""
    max_attempts: Count = 10
    """Attempts of a microworkflow on one event before the message is parked."""
    retry_delay: Seconds = 1.0
    """Seconds before the second attempt; each further delay is twice as long, less a random part (jitter)."""
    retry_max_delay: Seconds = 3600.0
    """Longest delay between two attempts, in seconds."""
    bundle: Count = 16
    """Largest number of waiting messages that a process of a worker takes at once; 1: each is handled by itself."""
    relay_batch: Count = 500
    """Number of events that the relay publishes before it waits for the broker's confirms."""
    relay_poll: Seconds = 0.5
    """Seconds between two looks for due retries, and into the outbox where nothing wakes the relay sooner."""
    relay_poll_embedded: Seconds = 0.05
    """Seconds between two looks into an outbox in SQLite, which cannot wake the relay as PostgreSQL's NOTIFY does."""
    confirm_timeout: Seconds = 30.0
    """Seconds that the relay waits for the broker's confirms before it connects anew and publishes again."""
    redelivery_lease: Seconds = 60.0
    """Seconds after which a redelivered message that is still waiting is redelivered once more."""
    max_event_bytes: Count = 1_048_576
    """Largest event in bytes, as JSON: a larger one cannot be recorded, and becomes a dead letter where it arrives."""
    max_hops: Count = 100
    """Largest number of events that cause each other; the message that would cause a further one is parked."""
    retention_days: Count = 30
    """Age in days at which what is done is purged, where its type declares no `retention` of its own."""
    purge_every: Seconds | None = 3600.0
    """Seconds between two purges by the workers' relays; `None`: only `purge_events` purges."""
    direct_database: Name | None = None
    """Alias in `DATABASES` of a direct way to the database of outbox and inbox, if the usual way leads through a pooler in transaction mode: for the relay and `split_database`, which need sessions of their own."""
    users: dict[Name, Name] = {}
    """The broker's user of each context, where each has its own: no other user may speak for it."""


AnySection = TypeVar("AnySection", bound=Section)

_sections: list[type[Section]] = [Settings]
_read: dict[type[Section], tuple[dict[Any, Any], Section]] = {}
"""For each section, the ``MICROWORKFLOWS`` read last and its parsed form, since every event asks for it."""


def add_section(section: type[Section]) -> None:
    """Accept the settings of a guest of the core in ``MICROWORKFLOWS``, beside the core's own."""
    if section not in _sections:
        _sections.append(section)
        _read.clear()


def check() -> None:
    """Read every section; raises as :func:`read` does."""
    for section in _sections:
        read(section)


def current() -> Settings:
    """Return the core's settings in force; raises as :func:`read` does."""
    return read(Settings)


def read(section: type[AnySection]) -> AnySection:
    """Return the settings in force of one section.

    Raises:
        ImproperlyConfigured: ``MICROWORKFLOWS`` has an unknown setting, or a value out of range.
    """
    given = getattr(settings, "MICROWORKFLOWS", {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"MICROWORKFLOWS is {given!r}; it must be a dictionary.")
    if (last := _read.get(section)) is None or last[0] != given:
        last = _read[section] = dict(given), _parse(given, section)
    parsed = last[1]
    assert isinstance(parsed, section)
    return parsed


def _parse(given: dict[Any, Any], section: type[Section]) -> Section:
    known = [name.upper() for each in _sections for name in each.model_fields]
    if unknown := sorted(str(name) for name in given if name not in known):
        raise ImproperlyConfigured(
            f"MICROWORKFLOWS has unknown settings: {', '.join(unknown)}. Known settings: {', '.join(known)}. (An "
            "optional app of the kit has its own, such as CUTOVER of microworkflows.cutover: is it in INSTALLED_APPS?)"
        )
    own = {name: given[name.upper()] for name in section.model_fields if name.upper() in given}
    try:
        return section(**own)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        raise ImproperlyConfigured(
            f"MICROWORKFLOWS[{name.upper()!r}] is {own[name]!r}: {problem['msg']}."
        ) from error
