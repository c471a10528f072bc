"""The file by which a supervisor sees that the worker's loop goes round."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from microworkflows.worker import watch


def test_each_round_of_the_loop_touches_the_file_at_most_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, clock = tmp_path / "alive", SimpleNamespace(now=100.0)
    monkeypatch.setattr("microworkflows.worker.watch.time.monotonic", lambda: clock.now)
    monkeypatch.setattr(watch, "_sign", None)
    monkeypatch.setattr(watch, "_signed_at", 0.0)
    worker: Any = SimpleNamespace()
    watch.Watch(worker, alive=str(file))
    assert file.exists(), "from the start"

    touched = []
    for clock.now in (100.0, 100.5, 101.0):
        file.unlink(missing_ok=True)
        watch.progress()
        touched.append(file.exists())

    assert touched == [True, False, True]


def test_file_that_cannot_be_made_ends_the_worker_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_sign", None)
    worker: Any = SimpleNamespace()

    with pytest.raises(FileNotFoundError):
        watch.Watch(worker, alive=str(tmp_path / "no such folder/alive"))
