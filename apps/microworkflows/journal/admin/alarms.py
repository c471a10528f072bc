"""The alarms: events that did not come in time, who has to act, and what stood in the way when the alarm was raised."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import words
from microworkflows.admin import badges, naming, texts
from microworkflows.admin.journeys import JourneyMedia, journey_link
from microworkflows.admin.reading import ReadOnlyAdmin
from microworkflows.journal.models import Alarm
from microworkflows.journeys import event_name


class StateFilter(admin.SimpleListFilter):
    """Filter by whether the event is still awaited: ``?state=open``."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both."""
        return [("open", gettext("open")), ("closed", gettext("closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        """Keep the open, or the closed ones."""
        if self.value() is None:
            return queryset
        return queryset.filter(closed_at__isnull=self.value() == "open")


class CauseFilter(admin.AllValuesFieldListFilter):
    """Filter by the likely cause, in words."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Offer each cause that some alarm has."""
        for choice in super().choices(changelist):
            yield {**choice, "display": words.shown(str(choice["display"]))}


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    """Every alarm, the newest first; each leads to the journey of its flow."""

    ordering = ["-raised_at"]
    list_display = ["subject", "awaits", "was_due", "owner", "likely_cause", "stands_in_the_way", "ended"]
    list_display_links = None
    list_filter = [StateFilter, "owner", ("cause", CauseFilter)]
    list_select_related = ["flow"]
    search_fields = ["flow__name__istartswith", "flow__correlation_id__exact"]
    search_help_text = _("Name of what a flow is about, or its correlation id")

    class Media(JourneyMedia):
        """Stylesheet of the badges."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True if this user may see flows."""
        return request.user.has_perm("microworkflows_journal.view_flow")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return True if the index lists the alarms."""
        return self.has_view_permission(request)

    @admin.display(description=_("flow"), ordering="flow__name")
    def subject(self, alarm: Alarm) -> SafeString:
        """Return what the flow is about, with a link to its journey."""
        return journey_link(
            alarm.flow.correlation_id,
            text=str(alarm.flow),
            request=self.request,
            site=self.admin_site.name,
        )

    @admin.display(description=_("awaits"), ordering="awaited")
    def awaits(self, alarm: Alarm) -> SafeString:
        """Return the awaited event, and that since which it is awaited."""
        awaited, of = event_name(alarm.awaited), event_name(alarm.of)
        since = gettext("since %(event)s") % {"event": of}
        return format_html('{}<span class="mw-under">{}</span>', awaited, since)

    @admin.display(description=_("was due"), ordering="due_at")
    def was_due(self, alarm: Alarm) -> SafeString:
        """Return the time at which it was due."""
        return texts.time_over_date(alarm.due_at)

    @admin.display(description=_("likely cause"), ordering="cause")
    def likely_cause(self, alarm: Alarm) -> SafeString:
        """Return the cause in a word; one that nobody knows is not bad, but unknown."""
        tone = badges.IDLE if alarm.cause == "unknown" else badges.BAD
        return badges.badge(alarm.cause, tone=tone)

    @admin.display(description=_("what stood in the way"))
    def stands_in_the_way(self, alarm: Alarm) -> str:
        """Return the details."""
        return alarm.details

    @admin.display(description=_("ended"), ordering="closed_at")
    def ended(self, alarm: Alarm) -> SafeString:
        """Return when it ended, or that it has not."""
        if alarm.closed_at is None:
            return badges.badge(gettext("open"), tone=badges.BUSY)
        return texts.time_over_date(alarm.closed_at)


naming.name(
    Alarm,
    _("alarm"),
    _("alarms"),
    flow=_("flow"),
    awaited=_("awaited"),
    of=_("of"),
    due_at=_("due at"),
    raised_at=_("raised at"),
    closed_at=_("closed at"),
    owner=_("owner"),
    cause=_("cause"),
    details=_("details"),
)
