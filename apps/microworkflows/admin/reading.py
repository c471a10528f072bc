"""Base of the kit's pages in the admin: rows are read, never edited, and pages of its own have the admin's frame."""

from collections.abc import Mapping
from copy import copy
from typing import Any, Self

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from microworkflows import holds
from microworkflows.admin.lists import BoundedListMixin
from microworkflows.models import Hold


class ReadOnlyAdmin(BoundedListMixin):
    """Read-only pages: the kit alone writes what they show, and an edit would falsify it."""

    request: HttpRequest | None = None
    """The request for which list or page are shown: Django shares one instance, so each request has a copy of it.

    What shows a row needs it, to link only to what the user may open.
    """

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list to the user of this request."""
        return super(ReadOnlyAdmin, self._of(request)).changelist_view(request, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a row's page to the user of this request."""
        return super(ReadOnlyAdmin, self._of(request)).changeform_view(
            request, object_id, form_url, extra_context
        )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row with a key; None if there is none, as for a key that no database takes."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: nothing is added by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: nothing is edited by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: ``manage.py purge_events`` deletes what is done; nothing else may be lost."""
        return False

    def hold_over(self, consumer: str, *, flow: str) -> Hold | None:
        """Return the hold in force that keeps a consumer from an event of a flow; one query for each request."""
        if self.request is None:  # not for a page
            return None
        if not hasattr(self.request, "mw_holds"):
            self.request.mw_holds = holds.in_force()  # type: ignore[attr-defined]  # lasts as long as the request
        found: list[Hold] = self.request.mw_holds  # type: ignore[attr-defined]
        return next((hold for hold in found if hold.holds(consumer, flow=flow)), None)

    def framed(self, request: HttpRequest, template: str, context: Mapping[str, Any]) -> HttpResponse:
        """Render a template that extends the admin's base, with what that needs."""
        request.current_app = self.admin_site.name  # as Django's own admin views do
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**frame, **context})

    def _of(self, request: HttpRequest) -> Self:
        copied = copy(self)
        copied.request = request
        return copied
