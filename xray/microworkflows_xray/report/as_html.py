"""The report as one HTML file that needs no network: Django's template engine by itself, with no settings."""

from __future__ import annotations

from pathlib import Path

from django.template import Context, Engine

from microworkflows_xray.report import page
from microworkflows_xray.report.content import Content

TEMPLATES = Path(__file__).with_name("templates")


def render(content: Content) -> str:
    """Return the report as HTML.

    Whatever the templates print is text already: numbers would be written in the language of the project that is looked at.
    """
    template = Engine(dirs=[str(TEMPLATES)]).get_template("report.html")
    text: str = template.render(Context(page.of(content), use_l10n=False, use_tz=False))
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"
