"""The history of a message on its page: each failed attempt, and who replayed or dismissed it, and why."""

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from microworkflows.models import InboxEvent

MOST = 100
"""Number of entries that a page shows, the newest ones."""


def table(row: InboxEvent) -> SafeString | str:
    """Return the history as an HTML table, oldest first; a word if it is empty."""
    entries = list(row.history.reverse()[: MOST + 1])
    if not entries:
        return _("none")
    context = {"entries": entries[:MOST][::-1], "is_cut": len(entries) > MOST, "most": MOST}
    return render_to_string("admin/microworkflows/history.html", context)
