"""A scrape: each part of the system is read at this moment, or said to be unknown; it ends in time whatever is away."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from microworkflows import logs, texts
from microworkflows.metrics import bounded, broker, database, processes, tables, totals
from microworkflows.metrics.catalog import SCRAPE_ERROR, SCRAPE_SECONDS
from microworkflows.metrics.samples import Sample

logger = logs.logger(__name__)

SECONDS: Final = 5.0
"""Longest time of a scrape; Prometheus waits for ten."""

Part = Callable[[], Iterable[Sample]]
"""Yields what it knows, and raises where it cannot go on."""

# In this order: what takes longest comes last, and may be late.
IN_DATABASE: Final[Mapping[str, Part]] = {
    "workers": processes.workers,
    "relays": processes.relays,
    "outbox": tables.outbox,
    "inbox": tables.inbox,
    "totals": totals.totals,
    "left_behind": broker.left_behind,
}
AT_BROKER: Final[Mapping[str, Part]] = {"broker": broker.queues}

_told: set[str] = set()
"""Parts that this process could not read the last time."""


@dataclass
class _Read:
    """What was read of a part."""

    samples: list[Sample] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0


def scrape(*, seconds: float = SECONDS) -> Iterator[Sample]:
    """Read all parts, and yield what is known."""
    began = time.monotonic()
    found: dict[str, _Read] = {}
    works = {
        "database": lambda: _read_database(found),
        "broker": lambda: _read_parts(AT_BROKER, found),
    }
    bounded.run(works, seconds=seconds)
    read = dict(found)  # what comes later is not waited for
    for part in (*IN_DATABASE, *AT_BROKER):
        late = _Read(error=f"no answer in {seconds:g} s", seconds=time.monotonic() - began)
        each = read.get(part, late)
        _tell(part, each.error)
        yield from each.samples
        yield Sample(SCRAPE_ERROR, (part,), int(bool(each.error)))
        yield Sample(SCRAPE_SECONDS, (part,), each.seconds)


def _read_database(found: dict[str, _Read]) -> None:
    try:
        with database.opened("metrics"):
            _read_parts(IN_DATABASE, found)
    except Exception as error:  # whatever it is, the next scrape may succeed
        for part in IN_DATABASE.keys() - found.keys():
            found[part] = _Read(error=_said(error))


def _read_parts(parts: Mapping[str, Part], found: dict[str, _Read]) -> None:
    for name, part in parts.items():
        read, began = _Read(), time.monotonic()
        try:
            for sample in part():
                read.samples.append(sample)
        except Exception as error:  # of whatever database or transport: it costs this part alone
            read.error = _said(error)
        read.seconds = time.monotonic() - began
        found[name] = read


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {texts.line(str(error).strip())}"


def _tell(part: str, error: str) -> None:
    """Log a part that cannot be read, once until it can."""
    if error and part not in _told:
        logger.warning("metrics: %s cannot be read, and what is unknown is absent: %s", part, error)
    elif not error and part in _told:
        logger.info("metrics: %s can be read again", part)
    (_told.add if error else _told.discard)(part)
