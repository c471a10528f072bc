"""Links of the journal's pages: to its own lists, and to the admin of the service that owns a context's tables."""

from django.contrib import admin
from django.urls import reverse
from django.utils.http import urlencode

from microworkflows import registry
from microworkflows.journal.models import Flow
from microworkflows.journal.presence import Presence


def flows(**filters: str) -> str:
    """Return the address of the list of flows; empty where the admin has none."""
    if not admin.site.is_registered(Flow):
        return ""
    where = reverse("admin:microworkflows_journal_flow_changelist")
    return f"{where}?{urlencode(filters)}" if filters else where


def owner(of: Presence, model: str, /, **filters: str) -> str:
    """Return the address of a list of the kit's in the admin of a context's service; empty if nobody knows where that is."""
    if of.admin_url.startswith(
        ("http://", "https://", "/")
    ):  # whatever another service says, no link runs a script
        return f"{of.admin_url.rstrip('/')}/microworkflows/{model}/?{urlencode(filters)}"
    if of.context in registry.contexts():
        return f"{reverse(f'admin:microworkflows_{model}_changelist')}?{urlencode(filters)}"
    return ""
