"""What was measured: each figure of each round, and whoever would not run, to JSON and back."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self

Label = str | int


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One figure of one round."""

    measurement: str
    subject: str
    metric: str
    value: float
    round: int = 0
    labels: Mapping[str, Label] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A subject that would not run, and why."""

    measurement: str
    subject: str
    reason: str


class Results:
    """Collect the figures of a run.

    Where labels are asked for, a sample counts if it has them all; it may have more.
    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.failures: list[Failure] = []

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)

    def fail(self, measurement: str, subject: str, reason: str) -> None:
        self.failures.append(Failure(measurement=measurement, subject=subject, reason=reason))

    def renew(self, newer: "Results") -> None:
        """Let the figures and failures of each measurement that somebody else measured replace those here."""
        renewed = {sample.measurement for sample in newer.samples}
        renewed |= {failure.measurement for failure in newer.failures}
        self.samples = [each for each in self.samples if each.measurement not in renewed] + newer.samples
        self.failures = [each for each in self.failures if each.measurement not in renewed] + newer.failures

    def values(self, measurement: str, subject: str, metric: str, **labels: Label) -> list[float]:
        """Return the figures in the order in which they were measured."""
        return [
            sample.value
            for sample in self._of(measurement, labels)
            if (sample.subject, sample.metric) == (subject, metric)
        ]

    def median(self, measurement: str, subject: str, metric: str, **labels: Label) -> float | None:
        """Return the median of the figures, or None where nothing was measured."""
        values = self.values(measurement, subject, metric, **labels)
        return median(values) if values else None

    def subjects(self, measurement: str, **labels: Label) -> list[str]:
        """Return who was measured, in the order of their first figures."""
        return list(dict.fromkeys(sample.subject for sample in self._of(measurement, labels)))

    def labels(self, measurement: str, subject: str, metric: str, label: str) -> list[Label]:
        """Return the values that a label took, in the order in which they were measured."""
        found = (
            sample.labels[label]
            for sample in self._of(measurement, {})
            if (sample.subject, sample.metric) == (subject, metric) and label in sample.labels
        )
        return list(dict.fromkeys(found))

    def rounds(self, measurement: str) -> int:
        """Return how many rounds were measured."""
        return len({sample.round for sample in self._of(measurement, {})})

    def to_json(self, **more: object) -> str:
        """Return everything as JSON, one figure a line, beside what else is given (the machine's facts)."""
        rows = {
            "failures": [asdict(failure) for failure in self.failures],
            "samples": [asdict(sample) for sample in self.samples],
        }
        parts = [f"{_json(name)}: {_json(value)}" for name, value in more.items()]
        parts += [f"{_json(name)}: [{_lines(values)}]" for name, values in rows.items()]
        return "{\n" + ",\n".join(parts) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what ``to_json`` wrote, without what else it was given."""
        content: dict[str, Any] = json.loads(text)
        results = cls()
        results.samples = [Sample(**sample) for sample in content["samples"]]
        results.failures = [Failure(**failure) for failure in content["failures"]]
        return results

    def _of(self, measurement: str, labels: Mapping[str, Label]) -> Iterator[Sample]:
        for sample in self.samples:
            if sample.measurement == measurement and labels.items() <= sample.labels.items():
                yield sample


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(values: list[dict[str, Any]]) -> str:
    return ",".join(f"\n  {_json(value)}" for value in values)
