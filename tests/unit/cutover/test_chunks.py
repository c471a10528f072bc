"""The size of a chunk follows the time that the last one took."""

import pytest

pytest.importorskip("psycopg")

from microworkflows.cutover.splitting.chunks import Size


def test_small_rows_are_copied_many_at_a_time_and_large_ones_few() -> None:
    size = Size(rows=1_000)

    size.took(0.1)
    assert size.rows == 2_000
    size.took(1.0)
    assert size.rows == 2_000
    size.took(5.0)
    assert size.rows == 1_000


def test_size_has_bounds() -> None:
    size = Size(rows=1_000)

    for _ in range(20):
        size.took(0.0)
    assert size.rows == 100_000
    for _ in range(20):
        size.took(60.0)
    assert size.rows == 100
