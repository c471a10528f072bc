"""A stage's working copy: made in ``var/guide``, and compared with that of another stage."""

import difflib
import shutil
from collections.abc import Iterator
from pathlib import Path

from migrations_guide.engine import stages
from migrations_guide.engine.stages import StageError

_MARK = ".stage"
"""Says that a folder is a working copy, and of which stage."""


def compose(number: int, *, into: Path | None = None) -> Path:
    """Make a stage's working copy and return its folder; its ``var/``, where its data is, stays as it is.

    Args:
        number: The stage.
        into: The folder, if it is not to be in ``var/guide``: a new or empty one, or an earlier working copy.

    Raises:
        StageError: there is no such stage, or the folder holds something else.
    """
    folder = into or stages.ROOT / "var" / "guide" / f"stage-{stages.stage(number).number}"
    folder.mkdir(parents=True, exist_ok=True)
    there = list(folder.iterdir())
    if there and not (folder / _MARK).exists():
        raise StageError(
            f"{folder} holds something else than a working copy. Name a new folder, or an empty one."
        )
    for old in there:
        if old.is_dir() and old.name != "var":
            shutil.rmtree(old)
        elif old.is_file():
            old.unlink()
    for name, text in stages.files(number).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / _MARK).write_text(f"{number}\n")
    return folder


def diff(number: int, *, since: int | None = None) -> Iterator[str]:
    """Yield what a stage changes, as the lines of a unified diff.

    Args:
        number: The stage.
        since: The stage that it is compared with; the one before it, if nothing is said.
    """
    old, new = stages.files(number - 1 if since is None else since), stages.files(number)
    for name in sorted(old | new):
        if old.get(name) == new.get(name):
            continue
        before, after = (tree.get(name, "").splitlines(keepends=True) for tree in (old, new))
        yield from difflib.unified_diff(
            before,
            after,
            fromfile=f"a/{name}" if name in old else "/dev/null",
            tofile=f"b/{name}" if name in new else "/dev/null",
        )
