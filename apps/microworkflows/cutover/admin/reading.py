"""What the pages of the cut-over have in common: rows are read, and the pages are there while contexts are handed over."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from microworkflows.cutover import conf

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(_ModelAdmin):
    """Rows come from the cut-over itself; nobody adds or edits them by hand."""

    class Media:
        """Badges, cards and tables."""

        css = {"all": ["microworkflows/admin.css", "microworkflows/cutover.css"]}

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the index shows it: only where contexts are being handed over."""
        return bool(conf.contexts()) and super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No row is added by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No row is edited by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No row is deleted by hand."""
        return False
