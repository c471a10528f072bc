"""Base of the cut-over's pages, which are listed while contexts are handed over."""

from django.http import HttpRequest

from microworkflows.admin import reading
from microworkflows.cutover import conf


class ReadOnlyAdmin(reading.ReadOnlyAdmin):
    """Read-only pages: the cut-over itself writes the rows, and nobody adds or edits them by hand."""

    class Media:
        """Badges, cards and tables."""

        css = {"all": ["microworkflows/admin.css", "microworkflows/cutover.css"]}

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return True if the index lists the page: only while contexts are being handed over."""
        return bool(conf.contexts()) and super().has_module_permission(request)
