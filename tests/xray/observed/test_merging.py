"""Recordings of several processes and days become one."""

from pathlib import Path

import pytest

from microworkflows_xray.facts import (
    Access,
    FactsError,
    Gap,
    Observed,
    Place,
    Transaction,
    Writer,
    dump,
    load,
)
from microworkflows_xray.observed import load_all
from microworkflows_xray.observed.merging import merge
from microworkflows_xray.observed.tally import Tally

READ = Access("stock_item", "read", None, "ORM", Place("a.py", 1, "a.look", "a"))
WRITE = Access("stock_item", "update", ("left",), "ORM", Place("a.py", 2, "a.take", "a"))


def request(*accesses: Access, count: int = 1, on_commit: tuple[str, ...] = ()) -> Transaction:
    writers = (Writer("a.take", ("stock_item",)),)
    return Transaction(
        "request", "POST order", count, accesses, on_commit, ("bank:443",), 0.5, 2.0, writers=writers
    )


def test_counts_are_added_and_accesses_are_kept_once() -> None:
    first = Observed(
        "tests", 1.0, 3, (request(READ, WRITE, count=2, on_commit=("a.tell", "a.count")),), ("a.take",)
    )
    second = Observed("tests", 1.0, 4, (request(WRITE, on_commit=("a.count", "a.bill")),), ("a.look",))

    merged = merge([first, second])

    (found,) = merged.transactions
    assert (found.count, found.seconds, found.lock_wait_seconds) == (3, 4.0, 1.0)
    assert found.accesses == (READ, WRITE)
    assert found.on_commit == ("a.tell", "a.count", "a.bill")
    assert found.network == ("bank:443",)
    assert found.writers == (Writer("a.take", ("stock_item",)),)
    assert (merged.units, merged.executed, merged.source) == (7, ("a.look", "a.take"), "tests")


def test_share_is_that_of_all_requests_and_gaps_stay() -> None:
    gap = Gap("worker gw1", "lost")
    tests = Observed("tests", 1.0, 10, gaps=(gap,))
    production = Observed("middleware", 0.01, 10)

    merged = merge([tests, production])

    assert merged.source == "both"
    assert merged.sampled == pytest.approx(20 / 1010, abs=1e-6)
    assert merged.gaps == (gap,)


def test_folder_stands_for_the_recordings_in_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        dump(Observed("middleware", 0.5, 1, (request(READ),)), tmp_path / f"{name}.json")
    (tmp_path / "c.part").write_text("{")  # a process is about to write it

    merged = load_all([tmp_path])

    assert merged.units == 2


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FactsError, match="There is no recording"):
        load_all([tmp_path])


def test_merged_recording_can_be_written_and_read(tmp_path: Path) -> None:
    merged = merge([Observed("tests", 1.0, 3, (request(READ, WRITE),))])

    dump(merged, tmp_path / "merged.json")

    assert load(Observed, tmp_path / "merged.json") == merged


def test_tally_is_bounded_and_counts_what_it_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microworkflows_xray.observed.tally.MOST_ACCESSES", 1)
    monkeypatch.setattr("microworkflows_xray.observed.tally.MOST_ENTRIES", 1)
    tally = Tally()

    tally.add(("request", "GET a", "", False), accesses=[READ, WRITE])
    tally.add(("request", "GET b", "", False))

    assert tally.dropped == 2
    assert [(each.name, len(each.accesses)) for each in tally.transactions()] == [("GET a", 1)]
