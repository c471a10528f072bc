"""The state of each object's flow in a ModelAdmin's list: a column, and a filter for those that need attention.

A guest that knows flows across services, such as the journal, tells the states; without one the list has neither.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import overviews
from microworkflows.admin.badges import badge

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class FlowStateMixin(_ModelAdmin):
    """Shows in a list where each object's flow stands, in one statement a page, and finds those that need attention.

    Where nobody tells states, it adds nothing. ::

        @admin.register(Order)
        class OrderAdmin(FlowStateMixin, JourneyAdminMixin, admin.ModelAdmin): ...

    The column and the filter are added to those that the subclass names.
    """

    def flow_correlation_id(self, obj: Any) -> str | None:
        """Return the correlation id of the object's flow, without a query; None if none has begun. By default the primary key."""
        return str(obj.pk)

    def of_flows(self, queryset: QuerySet[Any], ids: Collection[str]) -> QuerySet[Any]:
        """Keep the objects of flows with these correlation ids, or about these keys. By default by primary key."""
        return queryset.filter(pk__in=[key for each in ids if (key := self._key(each)) is not None])

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Add the column where somebody tells states, beside the first: a list that is too wide hides the last."""
        columns = [*super().get_list_display(request)]
        return [*columns[:1], "flow_state", *columns[1:]] if self._is_told() else columns

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Add the filter where somebody tells states, before the others."""
        filters = [*super().get_list_filter(request)]
        return [NeedsAttentionFilter, *filters] if self._is_told() else filters

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Read the states of the page's objects, all at once."""
        listed = super().get_changelist_instance(request)
        ids = {obj.pk: self.flow_correlation_id(obj) for obj in listed.result_list}
        told = overviews.overview.standings([each for each in ids.values() if each is not None]) or {}
        for obj in listed.result_list:
            obj.mw_standing = told.get(ids[obj.pk] or "")
        return listed

    @admin.display(description=_("flow"), empty_value="–")
    def flow_state(self, obj: Any) -> SafeString | None:
        """Where the flow stands, as a badge."""
        standing: overviews.Standing | None = getattr(obj, "mw_standing", None)
        return None if standing is None else badge(standing.state, tone=standing.tone)

    def _is_told(self) -> bool:
        return type(overviews.overview) is not overviews.Overview

    def _key(self, text: str) -> Any:
        try:
            return self.opts.pk.to_python(text)
        except ValidationError:
            return None  # the key of something else


class NeedsAttentionFilter(admin.SimpleListFilter):
    """Filter by flows that failed, are overdue or unknown."""

    title = _("flow")
    parameter_name = "flow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the one choice."""
        return [("attention", gettext("needs attention"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the objects whose flows need attention, the newest of them."""
        if self.value() != "attention":
            return queryset
        return self._model_admin.of_flows(queryset, overviews.overview.in_need())

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: FlowStateMixin) -> None:
        self._model_admin = model_admin
        super().__init__(request, params, model, model_admin)
