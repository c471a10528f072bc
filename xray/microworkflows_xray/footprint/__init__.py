"""Footprint of a step: who else reads and writes the rows that a function writes, and what they would see if it ran later."""

from microworkflows_xray.footprint.finding import Footprint, Other, Written, of_columns, of_function
from microworkflows_xray.footprint.output import as_json, as_text, run

__all__ = ["Footprint", "Other", "Written", "as_json", "as_text", "of_columns", "of_function", "run"]
