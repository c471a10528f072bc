"""The command line: what it writes and prints, its exit codes, and that no error it can foresee shows a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from microworkflows_xray import __main__ as command_line
from microworkflows_xray import facts
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Static
from microworkflows_xray.footprint import of_function
from microworkflows_xray.report import FORMATS
from microworkflows_xray.report.content import build, with_chosen
from tests.xray.samples import GAPS, SHOP, SHOP_RECORDING, place, wide

ROOM = Path(__file__).parents[2] / "xray"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of the shop's facts, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    facts.dump(SHOP, tmp_path / "facts.json")
    return Path("facts.json")


@pytest.fixture
def partial(shop: Path) -> Path:
    facts.dump(replace(SHOP, gaps=GAPS), Path("partial.json"))
    return Path("partial.json")


def run(*arguments: str | Path) -> int:
    return command_line.main([str(one) for one in arguments])


def test_a_report_is_written_in_each_format_that_is_asked_for(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("report", "--facts", shop, "--format", "html,md,json,sarif", "--output", "out/shop")

    assert code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "shop.html",
        "shop.json",
        "shop.md",
        "shop.sarif",
    ]
    assert Path("out/shop.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "Wrote out/shop.html." in capsys.readouterr().err


def test_a_suffix_that_fits_is_not_added_again(shop: Path) -> None:
    run("report", "--facts", shop, "--format", "md", "--output", "shop.md")

    assert Path("shop.md").is_file()


def test_a_report_can_go_to_standard_output(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("report", "--facts", shop, "--format", "json", "--output", "-")

    assert json.loads(capsys.readouterr().out)["kind"] == "report"


def test_a_partial_report_exits_with_0_and_says_what_is_missing(
    partial: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("rank", "--facts", partial)

    assert code == 0
    assert "Partial: 2 things could not be looked at." in (told := capsys.readouterr().err)
    assert "app loyalty: its models do not import" in told


def test_a_partial_report_exits_with_3_if_that_is_asked_for(partial: Path, shop: Path) -> None:
    assert run("rank", "--facts", partial, "--strict") == 3
    assert run("rank", "--facts", shop, "--strict") == 0


def test_an_empty_report_is_an_error(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts.dump(Static("shop", "shop.settings"), shop)

    code = run("report", "--facts", shop)

    assert code == 2
    assert "There is nothing to report about shop" in capsys.readouterr().err
    assert not Path("xray-report.html").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "--facts", "nowhere.json"),
        ("report", "--facts", "."),
        ("report", "--facts", "facts.json", "--contexts", "nowhere.ini"),
        ("report", "--facts", "facts.json", "--output", "facts.json/below"),
        ("report", "--facts", "facts.json", "--function", "orders.operations.unknown"),
        ("footprint", "orders.operations.unknown", "--facts", "facts.json"),
        ("footprint", "--columns", "orders_order.unknown", "--facts", "facts.json"),
        ("look", "--root", "nowhere"),
    ],
)
def test_a_foreseeable_error_is_one_line_and_exits_with_2(
    shop: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(*arguments)

    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("xray: ")


@pytest.mark.parametrize(
    "arguments", [(), ("nothing",), ("report", "--format", "pdf"), ("footprint",), ("scaffold", "x")]
)
def test_bad_usage_exits_with_2(shop: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as end:
        run(*arguments)

    assert end.value.code == 2


def test_the_ranking_can_be_printed_with_its_places(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("rank", "--facts", shop, "--places")

    printed = capsys.readouterr().out
    assert "Moving catalogue out costs 17 points: 2 foreign keys in" in printed
    assert "   2 foreign keys in, 3 each\n     orders/models.py:32 orders.Line.product\n" in printed


def test_a_proposal_is_a_file_that_divides_the_next_report(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("propose", "--facts", shop) == 0
    assert "Edit it" in capsys.readouterr().err

    run("report", "--facts", shop, "--contexts", "xray.ini", "--format", "json", "--output", "-")

    report = json.loads(capsys.readouterr().out)
    assert len(report["contexts"]) < 5
    assert {app for context in report["contexts"] for app in context["apps"]} == {
        "catalogue",
        "orders",
        "payments",
        "shipping",
        "stock",
    }


def test_a_proposal_replaces_contexts_only_if_that_is_asked_for(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("xray.ini").write_text("[contexts]\nmine = orders\n", encoding="utf-8")

    assert run("propose", "--facts", shop) == 2

    assert Path("xray.ini").read_text(encoding="utf-8") == "[contexts]\nmine = orders\n"
    assert "xray.ini has contexts already" in capsys.readouterr().err
    assert run("propose", "--facts", shop, "--force") == 0
    assert "mine" not in Path("xray.ini").read_text(encoding="utf-8")


def test_the_footprint_of_a_step_is_shown_in_the_report(shop: Path) -> None:
    run("report", "--facts", shop, "--function", "stock.operations.reserve")

    html = Path("xray-report.html").read_text(encoding="utf-8")
    assert 'id="footprint"' in html
    assert "orders/operations.py:20" in html.partition('id="footprint"')[2].partition("</section>")[0]


def test_the_seams_of_a_workflow_are_shown_in_the_report() -> None:
    field = SimpleNamespace(name="order_id", type="int")
    seam = SimpleNamespace(
        id="s1", event="OrderAccepted", outcome="StockReserved", how="call", emitter="orders.operations.accept",
        emitter_context="orders", consumer="stock.operations.reserve", consumer_context="stock", place=place("orders", "accept", 28),
        payload=(field,), is_query=False, can_fail=True,
    )  # fmt: skip
    content = build(SHOP, None, Contexts.read(None, SHOP))

    html = FORMATS["html"](with_chosen(content, seams=(seam,)))

    part = html.partition('id="seams"')[2].partition("</section>")[0]
    assert all(
        word in part
        for word in ("OrderAccepted", "StockReserved", "order_id: int", "orders/operations.py:28")
    )


def test_a_workflow_without_seams_says_so() -> None:
    content = build(SHOP, None, Contexts.read(None, SHOP))

    assert "None was found: what the workflow does stays in one context" in FORMATS["html"](
        with_chosen(content, seams=())
    )


def test_a_footprint_in_the_report_keeps_observed_and_predicted_apart() -> None:
    contexts = Contexts.read(None, SHOP)
    content = build(SHOP, SHOP_RECORDING, contexts)
    step = of_function("stock.operations.reserve", SHOP, contexts, SHOP_RECORDING)

    part = (
        FORMATS["html"](with_chosen(content, footprint=step))
        .partition('id="footprint"')[2]
        .partition("</section>")[0]
    )

    assert '<span class="mark observed">observed</span>' in part
    assert '<span class="mark predicted">predicted only</span>' in part


# As a program


def program(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOM), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", "microworkflows_xray", *map(str, arguments)]
    given = {"capture_output": True, "text": True, "env": environment, **options}
    return subprocess.run(command, check=False, **given)  # type: ignore[call-overload, no-any-return]


def test_the_program_needs_no_settings_to_write_a_page(shop: Path) -> None:
    done = program("report", "--facts", shop)

    assert (done.returncode, done.stdout) == (0, "")
    assert Path("xray-report.html").stat().st_size > 10_000


def test_a_reader_that_stops_early_is_no_error(shop: Path) -> None:
    facts.dump(wide(40), shop)

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m microworkflows_xray report --facts {shop} --format json --output - | head -1; echo ${{PIPESTATUS[0]}}"],
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOM)},
    )  # fmt: skip

    assert done.stdout.splitlines() == ["{", "0"]
    assert done.stderr == ""


def test_closed_streams_are_no_error(shop: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m microworkflows_xray rank --facts {shop} >&- 2>&-"],
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOM)},
    )  # fmt: skip

    assert done.returncode == 0


def test_a_terminal_that_knows_ascii_only_gets_its_text(shop: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOM),
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "LC_ALL": "C",
    }

    done = program("report", "--facts", shop, "--format", "md", "--output", "-", env=environment)

    assert done.returncode == 0
    assert "orders \\u2192 payments" in done.stdout
