"""Fixtures of the recorder's tests: the workshop, and one recording of its tests that most of them read."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from microworkflows_xray.facts import Observed
from tests.xray.observed.workshop import RECORDER, Workshop


class Recorded(NamedTuple):
    """A run of the workshop's tests with the recorder."""

    ended: subprocess.CompletedProcess[str]
    observed: Observed
    text: str


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Record the workshop's tests once."""
    workshop = Workshop(tmp_path_factory.mktemp("recorded"))
    ended = workshop.test(*RECORDER, "-p", "no:xdist")
    assert ended.returncode == 1, ended.stdout + ended.stderr  # one of its tests fails on purpose
    return Recorded(ended, workshop.recording(), (workshop.folder / "xray-observed.json").read_text())


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Copy the workshop."""
    return Workshop(tmp_path)
