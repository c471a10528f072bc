"""The cut-over's part of the dictionary ``MICROWORKFLOWS``."""

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from microworkflows import conf
from microworkflows.conf import Name, Section


class CutoverSettings(Section):
    """The cut-over's settings."""

    cutover: Sequence[Name] = ()
    """Labels of the contexts that a monolith is handing over; empty where there is none (any more)."""
    in_every_database: Sequence[Name] = ()
    """Apps (`users`), or models (`users.Profile`), whose tables each database has for itself: they stay open when a context moves."""
    footprint: Name = "footprint.json"
    """File in which the X-ray wrote who else reads and writes what the contexts write; relative to `BASE_DIR`, if the project has one."""


def contexts() -> Sequence[str]:
    """Return the labels of the contexts being handed over; raises as :func:`microworkflows.conf.read` does."""
    return conf.read(CutoverSettings).cutover


def in_every_database() -> Sequence[str]:
    """Return the labels of the apps and models whose tables each database has for itself; raises like :func:`contexts`."""
    return conf.read(CutoverSettings).in_every_database


def footprint() -> Path:
    """Return the path of the footprint's file, which need not exist; raises like :func:`contexts`."""
    return Path(getattr(settings, "BASE_DIR", ""), conf.read(CutoverSettings).footprint)
