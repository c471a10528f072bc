"""Histograms of durations, as the journal keeps them for each minute: counts by power of two of milliseconds.

Bucket 0 counts what took less than a millisecond, bucket ``n`` what took from 2ⁿ⁻¹ up to 2ⁿ milliseconds. A list is as long as its last
count needs. Minutes add up to any window; a quantile of them is right within its bucket, so wrong by less than a factor of two.
"""

from collections.abc import Sequence

LAST = 40
"""The last bucket: it counts whatever took more than 2³⁹ ms, which is seventeen years."""


def bucket(seconds: float) -> int:
    """Return the number of the bucket that counts a duration; one below zero, by clocks that disagree, counts as zero."""
    return min(max(0, int(seconds * 1000)).bit_length(), LAST)


def counted(seconds: float, histogram: Sequence[int] = ()) -> list[int]:
    """Return a histogram with one more duration in it."""
    return added(histogram, [0] * bucket(seconds) + [1])


def added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return the sum of two histograms."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return [count + (shorter[n] if n < len(shorter) else 0) for n, count in enumerate(longer)]


def quantile(histogram: Sequence[int], share: float) -> float | None:
    """Return the duration in seconds below which this share of them lies, as if each bucket were filled evenly; None of none."""
    rest = share * sum(histogram)
    for number, count in enumerate(histogram):
        if count and rest <= count:
            lower, upper = bounds(number)
            return lower + (upper - lower) * rest / count
        rest -= count
    return None


def bounds(number: int) -> tuple[float, float]:
    """Return the shortest and the longest duration of a bucket, in seconds."""
    return (0.0 if number == 0 else 2.0 ** (number - 1) / 1000, 2.0**number / 1000)
