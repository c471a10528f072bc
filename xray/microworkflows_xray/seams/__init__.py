"""Seams: places in a workflow where one context's code hands over to another's, each with the event that can take over.

:func:`find` looks for them along the calls that start at a workflow's entry. :mod:`.handing` reads what is handed over,
:mod:`.names` proposes names, :mod:`.telling` prints, and :mod:`microworkflows_xray.scaffold` writes the code for one.
"""

from __future__ import annotations

from microworkflows_xray.seams.finding import NoSuchSeamError, find, pick
from microworkflows_xray.seams.records import Field, Seam, Written
from microworkflows_xray.seams.telling import run
from microworkflows_xray.seams.workflows import UnknownWorkflowError

__all__ = ["Field", "NoSuchSeamError", "Seam", "UnknownWorkflowError", "Written", "find", "pick", "run"]
