"""Shadow comparisons in the admin: agreement and differences of new microworkflows and legacy steps."""

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import journeys
from microworkflows.admin import badges, naming, texts
from microworkflows.admin.journeys import flow_link, journey_link
from microworkflows.cutover import conf, exporting
from microworkflows.cutover.admin.reading import ReadOnlyAdmin
from microworkflows.cutover.models import ShadowComparison
from microworkflows.pages import may, sees_journeys


class ContextFilter(admin.SimpleListFilter):
    """Filter by the context whose microworkflow ran."""

    title = _("context")
    parameter_name = "context"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each context that is being handed over."""
        return [(context, context) for context in conf.contexts()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the comparisons of the chosen context."""
        value = self.value()
        return queryset if value is None else queryset.filter(workflow__startswith=f"{value}.")


@admin.register(ShadowComparison)
class ShadowComparisonAdmin(ReadOnlyAdmin):
    """Every comparison, newest first; differences are shown side by side."""

    list_display = ["workflow_and_event", "outcome_badge", "time_and_date", "times", "journey"]
    list_filter = ["outcome", ContextFilter, "workflow"]
    list_per_page = 50
    search_fields = ["correlation_id", "event_type"]
    search_help_text = _("Name or key of what a flow is about, correlation id of a flow, or part of a type")
    ordering = ["-pk"]
    actions = ["export_as_json"]
    readonly_fields = [
        "workflow",
        "outcome_badge",
        "side_by_side",
        "event",
        "flow",
        "when",
        "times",
    ]
    fields = [*readonly_fields]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Leave out the column of journeys for a user who may open none."""
        shown = list(super().get_list_display(request))
        return shown if sees_journeys(request) else [name for name in shown if name != "journey"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True if this user may delete comparisons, on which nothing depends."""
        return request.user.has_perm("microworkflows_cutover.delete_shadowcomparison")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ShadowComparison], search_term: str
    ) -> tuple[QuerySet[ShadowComparison], bool]:
        """Search by what the flow is about, whose index is the outbox's; by what is here if that finds nothing."""
        term = search_term.strip()
        found = queryset.filter(correlation_id__in=[term, *journeys.flows_about(term)]) if term else queryset
        if found.exists():
            return found, False
        return super().get_search_results(request, queryset, search_term)

    @admin.action(description=_("Export as JSON"), permissions=["view"])
    def export_as_json(self, request: HttpRequest, queryset: QuerySet[ShadowComparison]) -> HttpResponse:
        """Download the selected comparisons."""
        rows = [exporting.plain(comparison) for comparison in queryset]
        return HttpResponse(
            json.dumps(rows, indent=2, ensure_ascii=False),
            content_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="shadow-comparisons.json"'},
        )

    @admin.display(description=_("outcome"), ordering="outcome")
    def outcome_badge(self, obj: ShadowComparison) -> SafeString:
        """Outcome as a badge."""
        return badges.badge(obj.outcome)

    @admin.display(description=_("microworkflow"), ordering="workflow")
    def workflow_and_event(self, obj: ShadowComparison) -> SafeString:
        """Label of the microworkflow, and below it the type of the event."""
        return format_html('<code>{}</code><span class="mw-under">{}</span>', obj.workflow, obj.event_type)

    @admin.display(description=_("compared"), ordering="pk")
    def time_and_date(self, obj: ShadowComparison) -> SafeString:
        """Local time and date, for the list."""
        return texts.time_over_date(obj.compared_at)

    @admin.display(description=_("compared"))
    def when(self, obj: ShadowComparison) -> str:
        """Local date and time."""
        return texts.local_datetime(obj.compared_at)

    @admin.display(description=_("time taken"))
    def times(self, obj: ShadowComparison) -> SafeString:
        """Duration of each run."""
        return format_html(
            '<span class="mw-line">{}</span><br><span class="mw-line">{}</span>',
            gettext("legacy %(time)s") % {"time": _milliseconds(obj.legacy_microseconds)},
            gettext("shadow %(time)s") % {"time": _milliseconds(obj.shadow_microseconds)},
        )

    @admin.display(description=_("see also"))
    def journey(self, obj: ShadowComparison) -> SafeString:
        """Link to the journey of the flow."""
        return journey_link(obj.correlation_id, request=self.request, site=self.admin_site.name)

    @admin.display(description=_("differences"))
    def side_by_side(self, obj: ShadowComparison) -> SafeString:
        """Effects of the legacy step beside those that the microworkflow would have had."""
        return render_to_string("admin/microworkflows_cutover/differences.html", {"comparison": obj})

    @admin.display(description=_("event"))
    def event(self, obj: ShadowComparison) -> SafeString:
        """Type of the event, and its id with a link to the outbox."""
        event_id = format_html('<code class="mw-id">{}</code>', obj.event_id)
        if self.request is not None and may(self.request, "view_outboxevent"):
            url = reverse(
                "admin:microworkflows_outboxevent_change",
                args=[quote(obj.event_id)],
                current_app=self.admin_site.name,
            )
            event_id = format_html('<a href="{}">{}</a>', url, event_id)
        return format_html('<code class="mw-id">{}</code> {}', obj.event_type, event_id)

    @admin.display(description=_("flow"))
    def flow(self, obj: ShadowComparison) -> SafeString:
        """Correlation id, with a link to the journey."""
        return flow_link(obj.correlation_id, request=self.request, site=self.admin_site.name)


naming.name(
    ShadowComparison,
    _("shadow comparison"),
    _("shadow comparisons"),
    workflow=_("workflow"),
    outcome=_("outcome"),
)


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms"
