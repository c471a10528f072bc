import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from microworkflows import ids


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    made = [ids.uuid7() for _ in range(10_000)]

    assert made == sorted(made)
    assert [str(i) for i in made] == sorted(str(i) for i in made)
    assert len(set(made)) == len(made)


def test_ids_keep_growing_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids.uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert ids.uuid7() > before


def test_threads_make_no_id_twice() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [i for chunk in pool.map(lambda _: [ids.uuid7() for _ in range(500)], range(8)) for i in chunk]

    assert len(set(made)) == 4_000


def test_id_has_version_variant_and_time_of_rfc_9562() -> None:
    made = ids.uuid7()

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert abs(ids.timestamp(made) - datetime.now(tz=UTC)) < timedelta(seconds=5)


def test_time_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="not a UUIDv7"):
        ids.timestamp(uuid4())
