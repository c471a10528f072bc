"""Reports: one content (:mod:`.content`), written as HTML, Markdown, JSON or SARIF."""

from __future__ import annotations

from collections.abc import Callable

from microworkflows_xray.report import as_html, as_json, as_markdown, as_sarif
from microworkflows_xray.report.content import Content

FORMATS: dict[str, Callable[[Content], str]] = {
    "html": as_html.render,
    "md": as_markdown.render,
    "json": as_json.render,
    "sarif": as_sarif.render,
}
"""How to write each format; its name is the file's suffix."""
