"""Soaking: what a test repeats, it repeats for hours when ``make soak`` says so; what it saw is reported, not asserted."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

Report = Callable[..., None]

KEPT = Path(__file__).resolve().parents[1] / "var" / "soak.jsonl"
_FACTOR = float(os.environ.get("SOAK", "1"))


def times(usual: int) -> int:
    """Return how often something is repeated, given how often in a usual run."""
    return round(usual * _FACTOR)


@pytest.fixture
def soaked(request: pytest.FixtureRequest) -> Report:
    """Return a function that reports figures of a test that was soaked: ``soaked(orders=120)``."""

    def report(**figures: float) -> None:
        request.node.user_properties.append(("soaked", figures))

    return report


class Plugin:
    """Shows the figures at the end of a run, and keeps those of a long one in ``var/soak.jsonl``."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show them."""
        for report in terminalreporter.getreports("passed"):
            for figures in [value for name, value in report.user_properties if name == "soaked"]:
                line = {"test": report.nodeid, "seconds": round(report.duration), **figures}
                terminalreporter.write_line(
                    f"soaked {report.nodeid}: "
                    + ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in line.items() if k != "test")
                )
                if _FACTOR > 1:
                    KEPT.parent.mkdir(exist_ok=True)
                    with KEPT.open("a") as file:
                        file.write(
                            json.dumps({"ended": datetime.now(UTC).isoformat(timespec="seconds"), **line})
                            + "\n"
                        )
