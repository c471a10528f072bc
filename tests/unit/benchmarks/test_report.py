from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import plots, report
from benchmarks.machine import Fact
from benchmarks.results import Results, Sample

Add = Callable[..., None]


def test_figures_replace_what_is_between_the_markers_and_nothing_else() -> None:
    page = f"prose\n\n{report.BEGIN}\n\nold\n\n{report.END}\n\nmore prose\n"

    assert report.replaced(page, "new") == page.replace("old", "new")
    with pytest.raises(report.ReportError, match="lacks them"):
        report.replaced("prose alone", "new")


def test_figures_name_targets_medians_and_the_machine(results: Results, add: Add) -> None:
    for rate in (900, 1000, 1100):
        add("hop", "microworkflows", "events/s", rate, processes=1)
        add("hop", "bare Celery task", "events/s", 2 * rate, processes=1)

    told = report.figures(results, {"cores": 2})

    assert (
        "| Hop | events/s with 1 process, over a bare Celery task that writes the same | 0.50 × | ≥ 0.8 | **missed** |"
        in told
    )
    assert "| **microworkflows** | 1 | 1,000 (900–1,100) |  |" in told
    assert "| bare Celery task | 1 | 2,000 (1,800–2,200) | 0.50 × |" in told
    assert "(images/bench/hop.png)" in told
    assert "| cores | 2 |" in told


def test_who_would_not_run_is_shown_with_the_reason_and_no_folder_of_this_machine(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "write", lambda results, folder: [])
    results.fail("relay", "a peer", 'ended:\n  File "/tmp/venv/lib/peer.py"\nValueError: a | b')

    report.write(results, facts={}, into=tmp_path)

    page, data = ((tmp_path / name).read_text() for name in (report.PAGE, report.DATA))
    assert '| relay | a peer | ended: File "…/peer.py" ValueError: a \\| b |' in page
    assert "/tmp" not in data
    console = Console(file=StringIO(), width=200)
    report.show(results, console=console)
    assert "relay: a peer would not run: ended:" in console.file.getvalue()  # type: ignore[attr-defined]  # StringIO


def test_more_machines_are_computed_from_where_an_orders_time_goes(results: Results, add: Add) -> None:
    assert "more machines" not in report.figures(results, {})
    for subject, costs in (
        ("microworkflows, two workers", (2, 12, 4, 2)),
        ("synchronous monolith", (8, 0, 2, 0)),
        ("microworkflows, two workers, two database servers", (2, 12, 2, 2)),
    ):
        for part, cost in zip(("customer", "workers", "PostgreSQL", "RabbitMQ"), costs, strict=True):
            add("parts", subject, f"{part}, ms/order", cost)
    add("parts", "microworkflows, two workers, two database servers", "second PostgreSQL, ms/order", 2.5)

    told = report.figures(results, {})

    assert "| microworkflows, two workers | 800 | 1,143 | web and workers | 4,000 |" in told
    assert "two database servers | 780 | 1,143 | web and workers | 6,400 |" in told
    assert "| synchronous monolith | 1,600 | 2,000 | web and workers | 8,000 |" in told


def test_later_run_replaces_what_it_measured(results: Results, add: Add, tmp_path: Path) -> None:
    machine: dict[str, Fact] = {"cores": 2, "CPU": "one", "memory, GB": 24.0}
    add("relay", "microworkflows", "events/s", 1000)
    add("orders", "microworkflows", "orders/s", 50)
    results.fail("orders", "a peer", "no")
    page = tmp_path / "page.json"
    page.write_text(results.to_json(facts={**machine, "commit": "a"}))
    later = Results()
    later.add(Sample(measurement="orders", subject="microworkflows", metric="orders/s", value=60))

    told, facts = report.renewed(later, {**machine, "commit": "b", "date": "today"}, page=page)

    assert told.values("orders", "microworkflows", "orders/s") == [60]
    assert told.values("relay", "microworkflows", "events/s") == [1000]
    assert told.failures == []
    assert facts == {**machine, "commit": "a", "later: orders": "today, commit b"}
    with pytest.raises(report.ReportError, match=r"another machine \(cores\)"):
        report.renewed(later, {**machine, "cores": 16}, page=page)


def test_only_pictures_for_which_there_are_figures_are_drawn(results: Results, add: Add) -> None:
    assert plots.pictures(results) == []

    add("relay", "microworkflows", "events/s", 1000)
    add("growth", "backlog", "last/first", 1)

    assert [picture.name for picture in plots.pictures(results)] == ["relay"]


@pytest.mark.skipif(not (report.DOCS / report.DATA).exists(), reason="no full run has been written yet")
def test_page_tells_what_its_data_says() -> None:
    results, facts = report.read(report.DOCS / report.DATA)
    page = (report.DOCS / report.PAGE).read_text()

    assert report.replaced(page, report.figures(results, facts)) == page
    assert facts["run"] == "full"
    assert report.headlines(results).strip() in report.README.read_text()
