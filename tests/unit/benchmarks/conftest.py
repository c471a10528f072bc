from collections.abc import Callable

import pytest

from benchmarks.results import Results, Sample

Add = Callable[..., None]


@pytest.fixture
def results() -> Results:
    return Results()


@pytest.fixture
def add(results: Results) -> Add:
    """Add a figure to the results in few words."""

    def add(measurement: str, subject: str, metric: str, value: float, **labels: str | int) -> None:
        results.add(
            Sample(measurement=measurement, subject=subject, metric=metric, value=value, labels=labels)
        )

    return add
