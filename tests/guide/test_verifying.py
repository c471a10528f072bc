"""Stages, run as their readers run them: all scenarios hold, and no process is left."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.splitting.steps import MoveStep
from migrations_guide.engine import acceptance, stages, verifying
from migrations_guide.engine.processes import Processes
from migrations_guide.engine.shop import Order, Shop
from migrations_guide.engine.stages import ROOT, Stage
from migrations_guide.engine.verifying import VerificationError, verify
from project.processes.process import ProcessError
from tests.acceptance.running import processes_of
from tests.guide.walking import ENVIRONMENT as EMBEDDED

pytestmark = pytest.mark.acceptance

VERIFIED = [
    pytest.param(stages.stage(number), id=str(number), marks=[] if number == 0 else pytest.mark.slow)
    for number in (0, 7, 8, 9)
]
"""The stages between 0 and 7 are walked through, and accepted on the way, in test_walk_embedded.py."""
UNSEEN = ProcessError(
    "manage.py cutover failed (status 1):\nCommandError: No worker of payments was ever seen, so nobody would do its steps. …"
)


@pytest.mark.parametrize("stage", VERIFIED)
def test_stage_does_what_a_shop_must(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = verify(stage, environment=EMBEDDED, into=tmp_path)

    said = capsys.readouterr().out
    assert code == 0, said
    assert "6 of 6 hold" in said
    assert processes_of(tmp_path / "var") == set()


def test_command_that_must_print_nothing_and_does_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "SCENARIOS", ())
    talkative = dataclasses.replace(stages.stage(0), silent=["check"])

    with pytest.raises(
        VerificationError, match=r"check must print nothing; it printed:\nSystem check identified"
    ):
        verify(talkative, environment=EMBEDDED, into=tmp_path)


class OfficeShop(Shop):
    """A shop that only takes orders."""

    def __init__(self) -> None:
        self.placed = 0

    def place(self, **_: Any) -> Order:
        self.placed += 1
        return Order(id=str(self.placed), number=f"A-{self.placed}", total="1.00 EUR", lines={})


def test_switch_waits_for_a_worker_that_has_just_started_and_an_order_is_under_way_at_each() -> None:
    shop, run = OfficeShop(), []
    refusals = [UNSEEN, UNSEEN]

    def manage(command: str) -> str:
        if refusals:
            raise refusals.pop()
        run.append(command)
        return ""

    stage = dataclasses.replace(stages.stage(0), switch=["cutover payments", "cutover orders"])
    under_way = verifying.switch(stage, shop, manage)

    assert run == ["cutover payments", "cutover orders"]
    assert [order.number for order in under_way] == ["A-1", "A-2"]


def test_switch_that_is_refused_for_another_reason_is_told_at_once() -> None:
    def manage(command: str) -> str:
        raise ProcessError("manage.py cutover failed (status 1):\nCommandError: payments has no legacy step")

    with pytest.raises(ProcessError, match="no legacy step"):
        verifying.switch(dataclasses.replace(stages.stage(0), switch=["cutover"]), OfficeShop(), manage)


@pytest.mark.slow
def test_ending_the_guide_ends_what_it_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "migrations_guide", "verify", "0", "--serve", "--into", str(tmp_path)]
    guide = subprocess.Popen(
        command, cwd=ROOT, env=EMBEDDED, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert guide.stdout is not None
    with guide:
        said = ""
        while "Ctrl-C ends everything" not in said:
            line = guide.stdout.readline()
            assert line, said
            said += line
        assert processes_of(tmp_path / "var")

        guide.send_signal(signal.SIGTERM)

        assert guide.wait(30) == 0
    assert processes_of(tmp_path / "var") == set()


def test_process_that_dies_at_its_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("# comment\nworker: FATE=doom sh -c 'echo $FATE is near; exit 3'\n")

    with (
        pytest.raises(
            ProcessError, match=r"(?s)worker ended with status 3 before it was ready.*doom is near"
        ),
        Processes(tmp_path, environment=EMBEDDED),
    ):
        pass


def test_whole_group_of_a_process_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("worker: sh -c 'sleep 600 & echo I am ready.; wait'\n")

    with Processes(tmp_path, environment=EMBEDDED | {"VAR_DIR": str(tmp_path)}):
        assert len(processes_of(tmp_path)) == 2

    deadline = time.monotonic() + 5
    while processes_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.postgres
def test_database_that_contexts_have_moved_out_of_is_left_alone(
    database_url: str, tmp_path: Path, transactional_db: None
) -> None:
    now = timezone.now()
    ContextMove.objects.create(
        context="payments", target="elsewhere", step=MoveStep.MOVED, started_at=now, changed_at=now
    )

    with pytest.raises(VerificationError, match="is at stage 7 or later"):
        verify(stages.stage(5), environment={**EMBEDDED, "DATABASE_URL": database_url}, into=tmp_path)


@pytest.mark.postgres
def test_database_with_users_of_its_own_is_left_alone(
    database_url: str, tmp_path: Path, admin_user: object
) -> None:
    with pytest.raises(VerificationError, match="has users of its own"):
        verify(stages.stage(0), environment={**EMBEDDED, "DATABASE_URL": database_url}, into=tmp_path)
