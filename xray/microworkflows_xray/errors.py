"""Errors that end a run; whatever does not end it becomes a gap of the report."""

from __future__ import annotations


class ProjectError(Exception):
    """The project cannot be looked at at all; the text says why, and what to do."""
