"""Base of the cut-over's pages: rows are read-only, and the pages are listed while contexts are handed over."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from microworkflows.cutover import conf

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(_ModelAdmin):
    """Read-only pages: the cut-over itself writes the rows, and nobody adds or edits them by hand."""

    class Media:
        """Badges, cards and tables."""

        css = {"all": ["microworkflows/admin.css", "microworkflows/cutover.css"]}

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return True if the index lists the page: only while contexts are being handed over."""
        return bool(conf.contexts()) and super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: no row is added by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: no row is edited by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: no row is deleted by hand."""
        return False
