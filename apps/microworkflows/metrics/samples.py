"""Samples: what a part of the system tells for a metric."""

from collections.abc import Sequence
from typing import NamedTuple

from microworkflows.metrics.catalog import Metric


class Sample(NamedTuple):
    """A value of a metric."""

    metric: Metric
    labels: tuple[str, ...]
    """Values of the metric's labels, in their order."""
    value: float
    """Of a histogram, the sum of what was observed."""
    buckets: Sequence[int] = ()
    """Of a histogram, the number of observations in each bucket alone."""
