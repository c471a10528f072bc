"""One erasure: what it is about, and what was found, erased and kept so far."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from microworkflows.cloudevents import KEY, KIND
from microworkflows.flows import Kept
from microworkflows.subjects import Subject


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of an erasure."""

    found: int
    """Number of events and messages about the objects."""
    erased: Mapping[str, int]
    """Numbers of rows by a plural noun."""
    already: int
    """Number of rows that an erasure before had erased."""
    kept: Sequence[Kept]
    unknown: Sequence[str]
    """What could not be looked at, and why."""
    elsewhere: Sequence[str]
    """Labels of contexts, in other databases, that took part in the flows."""


@dataclass(kw_only=True)
class Work:
    """An erasure under way."""

    subjects: tuple[Subject, ...]
    at: datetime
    by: str
    why: str
    although: bool
    erased: Counter[str] = field(default_factory=Counter)
    already: int = 0
    kept: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Numbers by what, why and remedy."""
    unknown: list[str] = field(default_factory=list)
    events: set[UUID] = field(default_factory=set)
    """Ids of the events about the objects."""
    correlation_ids: set[str] = field(default_factory=set)
    """Ids of the flows about the objects."""
    found: int = 0
    contexts: set[str] = field(default_factory=set)
    """Labels of contexts that took part in the flows."""

    def __post_init__(self) -> None:
        self.correlation_ids |= {str(subject) for subject in self.subjects}

    @property
    def about(self) -> Q:
        """The condition that a row, annotated with its flow, is about one of the objects."""
        found = Q()
        for subject in self.subjects:
            found |= Q(**{f"body__{KIND}": subject.kind, f"body__{KEY}": subject.key}) | Q(flow=str(subject))
        return found

    def keep(self, what: str, why: str, remedy: str) -> None:
        """Note that something is kept."""
        self.kept[what, why, remedy] += 1

    def report(self, *, elsewhere: Sequence[str]) -> Report:
        """Return the outcome."""
        return Report(
            found=self.found,
            erased=dict(self.erased),
            already=self.already,
            kept=[Kept(what, number, why, remedy) for (what, why, remedy), number in self.kept.items()],
            unknown=self.unknown,
            elsewhere=elsewhere,
        )
