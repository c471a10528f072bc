"""System checks of the journal; they run if its app is installed."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from microworkflows.journal import conf


@register("microworkflows")
def check_sources(**kwargs: Any) -> list[CheckMessage]:
    """E080: ``JOURNAL_SOURCES`` names a database that is not in ``DATABASES``."""
    try:
        sources = conf.current().journal_sources
    except ImproperlyConfigured:  # E001 says so
        return []
    return [
        Error(
            f"MICROWORKFLOWS['JOURNAL_SOURCES'] names {alias!r}, which is no alias in DATABASES.",
            hint="Add the other service's database to DATABASES, for reading alone, or leave it out here.",
            id="microworkflows.E080",
        )
        for alias in sources
        if alias not in settings.DATABASES
    ]
