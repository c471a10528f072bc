"""Arguments that several of the journal's commands take."""

from argparse import ArgumentTypeError
from datetime import datetime

from microworkflows import times


def a_time(text: str) -> datetime:
    """Return a time that somebody wrote; without a zone, it is of the project's ``TIME_ZONE``."""
    try:
        return times.aware(datetime.fromisoformat(text))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time such as 2026-01-31T12:00+01:00") from None
