"""The report as one HTML file that needs no network."""

from __future__ import annotations

from microworkflows_xray.report.content import Content


def render(content: Content) -> str:
    """Return the report as HTML."""
    return f"<!doctype html><title>{content.name}</title>"
