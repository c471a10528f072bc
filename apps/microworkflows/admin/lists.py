"""Lists of which nobody knows how long they are: no click counts, or acts on, more than their first 10,000 rows."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _Paginator = Paginator

MOST: Final = 10_000
"""Most rows that a list counts; filters and search lead to the others."""


class BoundedPaginator(_Paginator):
    """Pages of the first 10,000 rows of a queryset."""

    @cached_property
    def count(self) -> int:
        """Number of the rows, at most 10,000."""
        return min(self._counted, MOST)

    @property
    def has_more(self) -> bool:
        """True if there are more rows than are counted."""
        return self._counted > MOST

    @cached_property
    def _counted(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: MOST + 1].count()


class BoundedListMixin(_ModelAdmin):
    """A ModelAdmin whose list reads as much of a table of 200,000 rows as of one of 10,000.

    The list ends after 10,000 rows and says that there are more; *select all* selects those that it has. No filter counts its choices.
    A subclass with a change list template of its own extends ``admin/microworkflows/change_list.html``.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/microworkflows/change_list.html"

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *given: Any, **more: Any
    ) -> HttpResponse | None:
        """Do an action with the selected rows; *all* are those that the list has."""
        if request.POST.get("select_across", "0") != "0":
            listed = queryset.values("pk")[:MOST]
            queryset = queryset.filter(pk__in=listed)
        return super().response_action(request, queryset, *given, **more)


class ValuesFilter(admin.AllValuesFieldListFilter):
    """Filter by the values of a column; the empty one is called none, because a link needs a name."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Offer each value by a name."""
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or _("none")}
