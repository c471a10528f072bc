"""Numbers that a JSON Schema allows: an interval, whole numbers or all, and steps of a size."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, inf
from typing import Any

_FEW = 64

Limit = Fraction | float
"""A number, or an infinity."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A set of numbers. With steps, its limits are multiples of the step and belong to it, unless they are infinite."""

    least: tuple[Limit, bool]
    """The limit below, and whether the numbers are above it; so that the stricter of two is greater."""
    most: tuple[Limit, bool]
    """The limit above, and whether the numbers may be it; so that the stricter of two is less."""
    step: Fraction | None

    @classmethod
    def of(cls, option: Mapping[str, Any]) -> "Numbers":
        """Return the numbers of a schema with the type ``number`` or ``integer``."""
        least = max(
            (_exact(option.get("minimum", -inf)), False),
            (_exact(option.get("exclusiveMinimum", -inf)), True),
        )
        most = min(
            (_exact(option.get("maximum", inf)), True), (_exact(option.get("exclusiveMaximum", inf)), False)
        )
        step = _step(option)
        if step is not None and isinstance(least[0], Fraction):
            steps = ceil(least[0] / step)
            least = step * (steps + 1 if least[1] and steps * step == least[0] else steps), False
        if step is not None and isinstance(most[0], Fraction):
            steps = floor(most[0] / step)
            most = step * (steps - 1 if not most[1] and steps * step == most[0] else steps), True
        return cls(least=least, most=most, step=step)

    @property
    def are_none(self) -> bool:
        """Whether no number is among them."""
        return self.least[0] > self.most[0] or (
            self.least[0] == self.most[0] and (self.least[1] or not self.most[1])
        )

    def are_among(self, others: "Numbers") -> bool:
        """Return whether all of them, more than a few, are among others."""
        if self.are_none:
            return True
        if others.step is not None and (self.step is None or self.step % others.step):
            return False
        return self.least >= others.least and self.most <= others.most

    def few(self) -> list[Any] | None:
        """Return each of them, if they are few."""
        if self.are_none:
            return []
        least, most = self.least[0], self.most[0]
        if least == most:
            return [_plain(least)]
        if self.step is None or least == -inf or most == inf or (most - least) / self.step >= _FEW:
            return None
        return [_plain(least + self.step * number) for number in range(int((most - least) / self.step) + 1)]

    def hold(self, value: float) -> bool:
        """Return whether a number is among them."""
        exact = _exact(value)
        if self.step is not None and (not isinstance(exact, Fraction) or exact % self.step):
            return False
        return (exact, False) >= self.least and (exact, True) <= self.most


def _step(option: Mapping[str, Any]) -> Fraction | None:
    """Return the size of the steps; whole numbers that are multiples of 1.5 are those of 3."""
    step = Fraction(str(option["multipleOf"])) if "multipleOf" in option else None
    if option["type"] != "integer":
        return step
    return Fraction(1) if step is None else Fraction(step.numerator)


def _exact(value: float) -> Limit:
    return value if value in (inf, -inf) else Fraction(str(value))


def _plain(value: Limit) -> float:
    return int(value) if value == int(value) else float(value)
