"""Base of the kit's pages in the admin: rows are read, never edited, and pages of its own have the admin's frame."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(_ModelAdmin):
    """Read-only pages: the kit alone writes what they show, and an edit would falsify it."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: nothing is added by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: nothing is edited by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: ``manage.py purge_events`` deletes what is done; nothing else may be lost."""
        return False

    def framed(self, request: HttpRequest, template: str, context: Mapping[str, Any]) -> HttpResponse:
        """Render a template that extends the admin's base, with what that needs."""
        request.current_app = self.admin_site.name  # as Django's own admin views do
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**frame, **context})
