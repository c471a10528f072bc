"""Running guard: read the baseline, compare, tell, and write what was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Static
from microworkflows_xray.guard import baseline as baselines
from microworkflows_xray.guard import contracts, telling
from microworkflows_xray.guard.baseline import Baseline, BaselineError
from microworkflows_xray.guard.comparing import compare, updated

FILE = "xray-guard.json"
"""Name of the baseline in the project's root."""


def run(
    static: Static,
    contexts: Contexts,
    *,
    root: Path,
    baseline: Path | None = None,
    init: bool = False,
    update: bool = False,
    allow: str = "",
    format: telling.Format = "text",  # noqa: A002  (named as the command's option)
    import_linter: Path | None = None,
    out: TextIO | None = None,
) -> int:
    """Hold a look against the baseline.

    Args:
        static: The look.
        contexts: The borders.
        root: Folder of the project.
        baseline: The file; by default :data:`FILE` in the root.
        init: Write the first baseline.
        update: Lock in what has gone, and note what moved; with a reason, allow what is new.
        allow: Reason for what is new, which the baseline keeps.
        format: How to tell: to a person, as JSON, as SARIF, or as GitHub's annotations.
        import_linter: File to which the same borders are written as contracts of import-linter.
        out: Where to tell; by default standard output.

    Returns:
        0 if nothing got worse; 1 for new violations, or a look at less than before; 2 if guard cannot work.
    """
    out = out or sys.stdout
    path = baseline or root / FILE
    try:
        now = baselines.of(static, contexts)
        if import_linter is not None:
            contracts.write(static, contexts, root=root, path=import_linter)
        if init:
            return _init(now, path, out)
        return _check(baselines.read(path), now, path, update=update, allow=allow, format_=format, out=out)
    except BaselineError as error:
        out.write(f"{error}\n")
        return 2


def _init(now: Baseline, path: Path, out: TextIO) -> int:
    if path.exists():
        raise BaselineError(f"{path} is there already. `xray guard --update` locks in what has gone since.")
    baselines.write(now, path)
    gaps = f" It is partial: {len(now.gaps)} things could not be looked at." if now.gaps else ""
    out.write(
        f"{path.name}: {len(now.violations)} violations among {len(now.apps)} apps. Commit the file.{gaps}\n"
    )
    return 0


def _check(
    before: Baseline,
    now: Baseline,
    path: Path,
    *,
    update: bool,
    allow: str,
    format_: telling.Format,
    out: TextIO,
) -> int:
    if allow and not update:
        raise BaselineError("--allow goes with --update: a check alone writes nothing.")
    comparison = compare(before, now)
    telling.tell(comparison, before, format_, out, update=update, allow=allow)
    if update and (comparison.holds or allow):
        baselines.write(updated(before, now, comparison, reason=allow), path)
        return 0
    return 0 if comparison.holds else 1
