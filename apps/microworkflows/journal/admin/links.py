"""Links of the journal's pages: to its own lists, and to the admin of the service that owns a context's tables."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from microworkflows import registry
from microworkflows.journal import conf
from microworkflows.journal.models import Flow
from microworkflows.journal.presence import Presence
from microworkflows.pages import may


def flows(**filters: str) -> str:
    """Return the address of the list of flows; empty where the admin has none."""
    if not admin.site.is_registered(Flow):
        return ""
    where = reverse("admin:microworkflows_journal_flow_changelist")
    return f"{where}?{urlencode(filters)}" if filters else where


def owner(request: HttpRequest, of: Presence, model: str, /, **filters: str) -> str:
    """Return the address of a list of the kit's in the admin of a context's service.

    Empty if nobody knows where that is, or if that is here and the request's user may not open the list.
    """
    if of.admin_url.startswith(
        ("http://", "https://", "/")
    ):  # whatever another service says, no link runs a script
        home = f"{of.admin_url.rstrip('/')}/"
        is_here = home == f"{conf.current().journal_admin_url.rstrip('/')}/"
    elif of.context in registry.contexts():
        home, is_here = reverse("admin:index"), True
    else:
        return ""
    if is_here and not may(request, f"view_{model}"):
        return ""
    return f"{home}microworkflows/{model}/?{urlencode(filters)}"
