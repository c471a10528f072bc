"""The walk without servers, while orders are placed: at each stage it does what a shop must, each step as the stage says."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrations_guide.engine.stages import APPS
from tests.acceptance.running import processes_of
from tests.guide import walking
from tests.guide.walking import Walk

pytestmark = [pytest.mark.slow, pytest.mark.acceptance]

DOES_THE_STEPS = {
    3: dict.fromkeys(APPS, "inline"),
    4: {**dict.fromkeys(APPS, "shadow"), "orders": "inline"},
    5: {**dict.fromkeys(APPS, "shadow"), "orders": "inline", "payments": None},
    6: dict.fromkeys(APPS),
}
"""By stage: how each context did its last step; None is its own worker."""


def ask(folder: Path, question: str, *values: str) -> list[tuple[Any, ...]]:
    """Ask the SQLite database of the walk."""
    with closing(sqlite3.connect(folder / "var" / "db.sqlite3")) as database:
        return database.execute(question, values).fetchall()


def last_step(folder: Path, context: str) -> str | None:
    """Return the mode in which a context did its last step."""
    question = "SELECT json_extract(headers, '$.mode') FROM received WHERE msg_id LIKE ? || '.%' ORDER BY id DESC LIMIT 1"
    ((mode,),) = ask(folder, question, context)
    assert mode is None or isinstance(mode, str)
    return mode


def test_shop_does_what_it_must_at_each_stage_until_everybody_is_live(tmp_path: Path) -> None:
    walk = Walk(tmp_path, environment=walking.ENVIRONMENT)
    with walking.under_way(walk):
        for stage in range(1, 7):
            walk.forward(stage)
            walk.customers.wait_for_more()

            walk.accept()

            if stage in DOES_THE_STEPS:
                assert {app: last_step(tmp_path, app) for app in APPS} == DOES_THE_STEPS[stage]
            if stage == 4:
                assert {
                    ("inventory.issue_items", "agreed"),
                    ("inventory.reserve_items", "agreed"),
                    ("payments.refund_payment", "agreed"),
                    ("payments.take_payment", "agreed"),
                    ("shipping.schedule_shipment", "agreed"),
                } == set(
                    ask(tmp_path, "SELECT workflow, outcome FROM microworkflows_cutover_shadowcomparison")
                )

    assert processes_of(tmp_path / "var") == set()
