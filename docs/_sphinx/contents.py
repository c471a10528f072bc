"""The table of contents: the lists of links in a few pages, from which the site's navigation and ``llms.txt`` are made.

A page of contents is read by people, here and on a code host, so it holds links and no directives.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INDEX = "docs/index"
FOLDERS = ("docs/adr/README", "migrations_guide/README")
"""Pages that list the others of their folder."""

_LINK = re.compile(r"\[([^\]]+)\]\(([^)#:\s]+\.md)\)(?:: (.+))?")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A link of a page of contents."""

    section: str
    """The heading above it."""
    title: str
    page: str
    """Path from the root, without ``.md``."""
    says: str


def entries(docname: str, text: str) -> Iterator[Entry]:
    """Yield the links to other pages, each page once: below the headings of the index, or into the folder that a page lists."""
    section, seen = "", {docname}
    folder = str(PurePosixPath(docname).parent)
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        for title, target, says in _LINK.findall(line):
            page = normpath(f"{folder}/{target.removesuffix('.md')}")
            elsewhere = str(PurePosixPath(page).parent) != folder
            if page in seen or (elsewhere if docname in FOLDERS else not section):
                continue
            seen.add(page)
            yield Entry(section=section, title=title, page=page, says=says)


def llms(*, base: str) -> str:
    """Return the index for language models (llmstxt.org), with links relative to the folder ``base``."""
    index = (ROOT / INDEX).with_suffix(".md").read_text()
    summary = re.search(r"^> ((?:.+\n> )*.+)$", index, re.MULTILINE)
    assert summary is not None, "docs/index.md begins with a summary in a block quote"
    lines = ["# django-microworkflows", "", "> " + summary[1].replace("\n> ", " ")]
    for section, links in groupby(entries(INDEX, index), key=lambda entry: entry.section):
        lines += ["", f"## {section}", ""]
        for link in links:
            lines.append(f"- [{link.title}]({relpath(link.page, base)}.md): {link.says}")
            if link.page in FOLDERS:
                inner = (ROOT / link.page).with_suffix(".md").read_text()
                lines += [
                    f"- [{link.title}: {each.title}]({relpath(each.page, base)}.md)"
                    for each in entries(link.page, inner)
                ]
    return "\n".join(lines) + "\n"


def _add_navigation(app: Any, docname: str, source: list[str]) -> None:
    """Append to a page of contents what Sphinx makes its navigation from."""
    if docname != INDEX and docname not in FOLDERS:
        return
    listed = entries(docname, source[0])
    for section, links in groupby(listed, key=lambda entry: entry.section if docname == INDEX else ""):
        caption = [f":caption: {section}"] if section else []
        pages = [f"{link.title} </{link.page}>" for link in links]
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", *caption, "", *pages, "```", ""])


def _finish(app: Any, exception: Exception | None) -> None:
    """Bring llms.txt, the pages that it names, and a way from the site's root to its first page."""
    if exception is not None or app.builder.name != "html":
        return
    for docname in app.env.found_docs:
        shutil.copyfile((ROOT / docname).with_suffix(".md"), (app.outdir / docname).with_suffix(".md"))
    (app.outdir / "llms.txt").write_text(llms(base="."))
    (app.outdir / "index.html").write_text(
        f'<!doctype html><title>{app.config.project}</title><meta http-equiv="refresh" content="0; url={INDEX}.html">\n'
    )


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
