"""Compares JSON Schemas as pydantic writes them: the one engine behind every verdict on contracts."""

from microworkflows.comparison.differences import Difference, differences

__all__ = ["Difference", "differences"]
