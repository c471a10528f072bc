"""Writing the files of a seam, where none of them is yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from microworkflows_xray import seams
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Static
from microworkflows_xray.scaffold import files, planning
from microworkflows_xray.seams import names


def run(
    static: Static,
    contexts: Contexts,
    *,
    seam: str,
    output: Path,
    root: Path | None = None,
    out: TextIO | None = None,
) -> int:
    """Write the files of a seam.

    Args:
        static: The facts that the code tells.
        contexts: The borders.
        seam: Id of the seam, or its beginning.
        output: Folder for the files; in the project's root they lie where Django and the kit find them.
        root: Folder of the project; see :class:`.Definitions` for the default.
        out: Where to tell; by default standard output.

    Returns:
        0; 1 if one of the files is there already, and nothing was written; 2 if the seam cannot be scaffolded.
    """
    out = out or sys.stdout
    try:
        plan = planning.plan(seams.pick(seams.find(static, contexts, root=root), seam), static, root)
    except (seams.NoSuchSeamError, planning.ScaffoldError) as error:
        out.write(f"{error}\n")
        return 2
    made = files.files(plan)
    if there := sorted(str(path) for path in made if (output / path).exists()):
        out.write(
            f"Nothing was written: {', '.join(there)} would be overwritten. Name another --output, and take the parts over "
            "by hand.\n"
        )
        return 1
    for path, text in sorted(made.items()):
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        (output / path).write_text(text, encoding="utf-8")
        todo = text.count("TODO")
        out.write(f"{path}{f'  {todo} TODO' if todo else ''}\n")
    test = f"{plan.consumer.package}.test_{names.snake(plan.event)}"
    out.write(
        f"\nWith --settings {files.SETTINGS}, `manage.py test {test}` is green: the event runs the old code, inline and once.\n"
        "Next: put the recording in place of the old code (TODO in announcing.py), and place a real one.\n"
    )
    return 0
