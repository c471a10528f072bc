"""Waiting for a condition, by the name that the tests import it by."""

from project.processes.waiting import eventually

__all__ = ["eventually"]
