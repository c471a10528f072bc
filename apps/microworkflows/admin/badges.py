"""Badges: a short word in one of four tones, never distinguished by colour alone."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from microworkflows import words

GOOD, BAD, BUSY, IDLE = "good", "bad", "busy", "idle"

_TONES = {
    "handled": GOOD,
    "relayed": GOOD,
    "pending": BUSY,
    "scheduled": IDLE,
    "cancelled": IDLE,
    "waiting": BUSY,
    "expected": IDLE,
    "paused": BUSY,
    "over": IDLE,
    "foreign": IDLE,
    "dismissed": IDLE,
    "replayed": BUSY,
    "purged": IDLE,
    "elsewhere": IDLE,
    "erased": IDLE,
    "unknown": IDLE,
    "unheard": IDLE,
    "rejected": BAD,
    "missed": BAD,
    "parked": BAD,
    "inline": IDLE,
    "shadow": BUSY,
    "shadow disagreed": BAD,
    "live": GOOD,
    "agreed": GOOD,
    "differs": BAD,
    "failed": BAD,
    "refused": BUSY,
}


def badge(text: str, *, tone: str | None = None) -> SafeString:
    """Return a badge as HTML.

    Args:
        text: The word on the badge; a status of this kit, in the code's word, is translated, and has a tone by default.
        tone: ``good``, ``bad``, ``busy`` or ``idle``.
    """
    return format_html(
        '<span class="mw-badge mw-badge--{}">{}</span>', tone or _TONES.get(text, IDLE), words.shown(text)
    )
