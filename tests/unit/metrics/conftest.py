"""Helpers for the tests of the metrics: what a part tells, as a dictionary."""

from collections.abc import Callable, Iterable

import pytest

from microworkflows.metrics.samples import Sample

Told = dict[tuple[str, ...], float]


@pytest.fixture
def told() -> Callable[[Iterable[Sample]], Told]:
    """Return what makes a dictionary of samples: values by the metric's name without prefix, and the labels' values."""
    return lambda samples: {
        (sample.metric.name.removeprefix("microworkflows_"), *sample.labels): sample.value
        for sample in samples
    }
