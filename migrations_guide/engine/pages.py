"""The pages of the guide: what they show of the stages' code, and their pictures, is written into them from the stages.

Between two comments a page holds what this module puts there; which, the first of them says::

    <!-- diff: payments/legacy.py -->                              what the stage changes in a file
    <!-- diff: orders/operations.py, where it has "outbox" -->     only the parts in which some text occurs
    <!-- diff: orders/operations.py, place_order -->               only in one function or class
    <!-- code: orders/operations.py, place_order -->               a function as it is at this stage
    <!-- files -->                                                 all files that the stage changes, counted
    <!-- end -->
"""

import ast
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from migrations_guide.engine import drawing, pictures, stages
from migrations_guide.engine.stages import StageError

FOLDER = Path(__file__).resolve().parents[1]

_BLOCK = re.compile(
    r"(?P<begin><!-- (?P<what>diff|code|files)(?:: (?P<which>.*?))? -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)
_WHERE = re.compile(r'(?P<name>\S+?)(?:, (?:where it has "(?P<text>.+)"|(?P<inside>\w+)))?')
_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def pages() -> dict[int, Path]:
    """Return the page of each stage."""
    return {int(path.name.partition("-")[0]): path for path in sorted(FOLDER.glob("[0-9]-*.md"))}


def fresh() -> dict[Path, str]:
    """Return what each page and picture must hold, by its path.

    Raises:
        StageError: a page names what its stage does not have.
    """
    written = {path: _filled(number, path.read_text()) for number, path in pages().items()}
    drawn = {
        FOLDER / "images" / f"stage-{number}.svg": drawing.svg(picture)
        for number, picture in pictures.PICTURES.items()
    }
    return written | drawn


def write() -> list[Path]:
    """Write pages and pictures anew, and return those that changed."""
    changed = []
    for path, text in fresh().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            changed.append(path)
    return changed


def commands(number: int, section: str) -> list[str]:
    """Return the lines of the shell blocks in a section of a stage's page; none where it has no such section."""
    found = re.search(
        rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", pages()[number].read_text(), re.DOTALL | re.MULTILINE
    )
    blocks = _SHELL.findall(found[1]) if found else []
    return [line for block in blocks for line in block.splitlines() if line]


def _filled(number: int, text: str) -> str:
    def fill(block: "re.Match[str]") -> str:
        inside = {"diff": _diff, "code": _code, "files": _files}[block["what"]](number, block["which"] or "")
        return f"{block['begin']}{inside}{block['end']}"

    return _BLOCK.sub(fill, text)


def _diff(number: int, which: str) -> str:
    asked = _WHERE.fullmatch(which)
    if asked is None:
        raise StageError(f"A page of stage {number} asks for the diff {which!r}, which cannot be read.")
    before, after = (
        _excerpt(tree, asked["name"], asked["inside"]) if asked["inside"] else _lines(tree, asked["name"])
        for tree in (number - 1, number)
    )
    if before == after:
        raise StageError(f"Stage {number} changes nothing in {asked['name']}.")
    hunks = [
        hunk
        for hunk in _hunks(before, after)
        if asked["text"] is None or any(asked["text"] in line for line in hunk)
    ]
    if not hunks:
        raise StageError(f"What stage {number} changes in {asked['name']} has no {asked['text']!r} near it.")
    shown = "".join(line for hunk in hunks for line in hunk)
    return f"```diff\n# {asked['name']}\n{shown}```\n"


def _hunks(before: list[str], after: list[str]) -> Iterator[list[str]]:
    hunk: list[str] = []
    for line in list(difflib.unified_diff(before, after, n=2))[2:]:
        if line.startswith("@@"):
            if hunk:
                yield hunk
            hunk = ["@@\n"] if before and after else []
        else:
            hunk.append(f"{line.rstrip()}\n")
    yield hunk


def _code(number: int, which: str) -> str:
    name, _, inside = which.partition(", ")
    return f"```python\n# {name}\n{''.join(_excerpt(number, name, inside)).rstrip()}\n```\n"


def _excerpt(number: int, name: str, inside: str) -> list[str]:
    """Return the lines of a function or class."""
    lines = _lines(number, name)
    for node in ast.parse("".join(lines)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == inside:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            return lines[first - 1 : node.end_lineno]
    raise StageError(f"{name} has no {inside!r} at stage {number}.")


def _files(number: int, which: str) -> str:
    old, new = stages.files(number - 1), stages.files(number)
    rows = []
    for name in sorted(old | new):
        if old.get(name) == new.get(name):
            continue
        before, after = (tree.get(name, "").splitlines() for tree in (old, new))
        lines = list(difflib.unified_diff(before, after, n=0))[2:]
        added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
        what = "new" if name not in old else "deleted" if name not in new else f"+{added} −{removed}"
        rows.append(f"| `{name}` | {what} |\n")
    return "".join(["| file | |\n| --- | --- |\n", *rows])


def _lines(number: int, name: str) -> list[str]:
    return stages.files(number).get(name, "").splitlines(keepends=True)
