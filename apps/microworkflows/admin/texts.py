"""Times, payloads and long texts for the pages of the admin."""

import json
from datetime import datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from microworkflows import times
from microworkflows.models import DUE_AT_ONCE


def local_time(time: datetime) -> str:
    """Return the local time of day with milliseconds, such as ``14:03:22.417``."""
    local = times.local(time)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"


def local_datetime(time: datetime) -> str:
    """Return the local date and time with milliseconds, such as ``2025-11-23 14:03:22.417``."""
    return f"{times.local(time):%Y-%m-%d} {local_time(time)}"


def when_in_two_lines(time: datetime) -> SafeString:
    """Return the local time of day with its zone, and below it the date."""
    local = times.local(time)
    return format_html(
        '<span class="mw-line">{}<span class="mw-under">{}</span></span>',
        f"{local:%H:%M %Z}",
        f"{local:%Y-%m-%d}",
    )


def due(time: datetime) -> str:
    """Return the time at which something is due, in local date and time, or ``at once``."""
    return _("at once") if time == DUE_AT_ONCE else local_datetime(time)


def pretty_json(value: Any) -> str:
    """Return a JSON value for people to read."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def time_over_date(time: datetime) -> SafeString:
    """Return the local time with the date below it, for a list."""
    date = f"{times.local(time):%Y-%m-%d}"
    return format_html(
        '<span class="mw-line">{}<span class="mw-under">{}</span></span>', local_time(time), date
    )


def links(*shown: SafeString) -> SafeString:
    """Return links in one line, without those that are empty."""
    line = format_html_join(" · ", "{}", ([link] for link in shown if link))
    return format_html('<span class="mw-line">{}</span>', line)


def block(text: str) -> SafeString:
    """Return a long text, such as a traceback, with its line breaks."""
    return format_html('<pre class="mw-pre" tabindex="0">{}</pre>', text)
