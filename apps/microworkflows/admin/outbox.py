"""The outbox in the admin: the recorded events, and their progress to the broker."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from microworkflows import ids, journeys, masking, unreceived
from microworkflows.admin import contexts, texts
from microworkflows.admin.journeys import about_link, flow_link, journey_link, title
from microworkflows.admin.messages import (
    Act,
    ContextFilter,
    MessageAdmin,
    StatusFilter,
    TimeFilter,
    TypeFilter,
)
from microworkflows.models import OutboxEvent, OutboxQuerySet, is_about
from microworkflows.pages import fragment, fragment_url, journey_context, may, polled, sees_journeys

_MOST_EVENTS = 20
"""Events of one type and listener that the page of unreceived events names."""


_CLOCKS = timedelta(seconds=5)
"""Most that the clock of a host which records may be ahead: events of a later time are timers."""


class UntilNowFilter(StatusFilter):
    """Filter by status; with none chosen, leave out timers to come, which would stand before all that has happened."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the chosen status; a search finds timers, too."""
        if self.value() is None and not request.GET.get(SEARCH_VAR):
            queryset = queryset.filter(pk__lt=ids.lowest(datetime.now(UTC) + _CLOCKS))
        return super().queryset(request, queryset)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Say what is shown if no status is chosen."""
        first, *others = super().choices(changelist)
        yield {**first, "display": gettext("All until now")}
        yield from others


@admin.register(OutboxEvent)
class OutboxEventAdmin(MessageAdmin):
    """Every recorded event, newest first; unheard and rejected ones can be relayed again."""

    acts = {
        "again": Act(
            permission="microworkflows.relay_outboxevent",
            name=_("Relay again"),
            done=ngettext_lazy(
                "%(count)s message made pending again.", "%(count)s messages made pending again.", "count"
            ),
            noted=_("Made pending again in the admin."),
            hint=_("The relay publishes pending events within a moment."),
            statuses=(OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED),
        ),
    }
    statuses = OutboxEvent.Status

    ordering = ["-pk"]
    list_display = [
        "event_and_type",
        "about",
        "status_badge",
        "emitted_by",
        "recorded_at",
        "attempts",
        "links",
    ]
    list_filter = [UntilNowFilter, TimeFilter, ContextFilter, TypeFilter]
    search_fields = ["pk"]
    search_help_text = _(
        "Name or key of what a flow is about, correlation id of a flow, id of an event, or part of a type"
    )
    readonly_fields = [
        "event",
        "type",
        "status_badge",
        "emitted_by",
        "recorded_at",
        "due",
        "attempts",
        "last_error",
        "event_id",
        "about",
        "flow",
        "caused_by",
        "cloud_event",
    ]
    fields = [*readonly_fields]

    def headline(self, row: OutboxEvent) -> str:
        """Return the event's name."""
        return journeys.event_name(row.type)

    def act_on(self, name: str, rows: OutboxQuerySet, *, by: str, why: str) -> int:
        """Make unheard and rejected events pending again."""
        return rows.relay_again()

    def get_urls(self) -> list[URLPattern]:
        """Add what the first page polls, the page of what was not received, that of any flow's journey, and the fragment that it polls."""
        wrap = self.admin_site.admin_view
        return [
            path("contexts/", wrap(contexts_view), name="microworkflows_contexts"),
            path("unreceived/", wrap(self.unreceived_view), name="microworkflows_unreceived"),
            path("journey/<str:correlation_id>/", wrap(self.journey_view), name="microworkflows_journey"),
            path(
                "journey/<str:correlation_id>/fragment/",
                wrap(self.journey_fragment_view),
                name="microworkflows_journey_fragment",
            ),
            *super().get_urls(),
        ]

    def unreceived_view(self, request: HttpRequest) -> HttpResponse:
        """Show the events that did not reach a listener, and the remedy."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        since, until = unreceived.window()
        found = sorted(unreceived.count(since=since, until=until).items())
        context = {
            "title": gettext("Unreceived events"),
            "mw_rows": [
                (missing, number, unreceived.events(missing, since=since, until=until, most=_MOST_EVENTS))
                for missing, number in found
            ],
            "mw_untold": unreceived.untold(),
            "mw_command": unreceived.remedy((missing for missing, _ in found), since=since),
        }
        return self.framed(request, "admin/microworkflows/unreceived.html", context)

    def journey_view(self, request: HttpRequest, correlation_id: str) -> HttpResponse:
        """Show the journey of a flow on a page of its own."""
        context = self._flow_context(request, correlation_id)
        url = reverse(
            "admin:microworkflows_journey_fragment", args=[correlation_id], current_app=self.admin_site.name
        )
        context |= {
            "title": gettext("Journey of %(name)s") % {"name": context["mw_title"]}
            if context["mw_title"]
            else gettext("Journey of a flow"),
            "subtitle": unquote(correlation_id),
            "mw_fragment_url": fragment_url(request, url),
        }
        return self.framed(request, "admin/microworkflows/journey.html", context)

    def journey_fragment_view(self, request: HttpRequest, correlation_id: str) -> HttpResponseBase:
        """Return the present journey of a flow; 304 if nothing has changed."""
        return fragment(request, self._flow_context(request, correlation_id))

    def _flow_context(self, request: HttpRequest, correlation_id: str) -> dict[str, Any]:
        if not sees_journeys(request):
            raise PermissionDenied
        if "\0" in correlation_id:
            raise Http404(gettext("A flow's id holds no NUL."))
        context = journey_context(request, unquote(correlation_id), headline=SafeString())
        journey, picture = context["mw_journey"], context["mw_picture"]
        if picture is None and not (journey.steps and self.has_view_permission(request)):
            raise Http404(
                gettext("No event of the flow %(id)r is in this outbox; it may have been purged.")
                % {"id": unquote(correlation_id)}
            )
        subject = journey.subject
        name = (
            title(subject)
            if subject
            else format_html("<bdi>{}</bdi>", picture.title if picture else gettext("Flow"))
        )
        context["mw_title"] = picture.title if picture else subject and subject.title
        context["mw_headline"] = format_html('{} <code class="mw-id">{}</code>', name, journey.correlation_id)
        return context

    @admin.action(description=_("Relay again selected"), permissions=["again"])
    def send_selected_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Name the action after what it does here."""
        return super().send_selected_again(request, queryset)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by event id, flow, and what it is about, which have indexes; read the whole outbox if that finds nothing.

        A flow that began elsewhere has no entry in the indexes of what flows are about.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        flows = [term, *journeys.flows_about(term)]
        found = Q(pk__in=OutboxEvent.objects.of_flow(*flows).order_by().values("pk"))
        with suppress(ValueError):  # then it is not an event's id
            found |= Q(pk=UUID(term))
        indexed = queryset.filter(found)
        if indexed.exists():
            return indexed, False
        return queryset.filter(Q(destination__icontains=term) | is_about(term)), False

    @admin.display(description=_("event"))
    def event(self, obj: OutboxEvent) -> str:
        """Name of the event for people, such as Order accepted."""
        return journeys.event_name(obj.type)

    @admin.display(description=_("event"), ordering="destination")
    def event_and_type(self, obj: OutboxEvent) -> SafeString:
        """Name of the event for people, and below it the type."""
        return format_html('{}<span class="mw-under">{}</span>', self.event(obj), obj.type)

    @admin.display(description=_("type"), ordering="destination")
    def type(self, obj: OutboxEvent) -> SafeString:
        """The versioned type."""
        return format_html('<code class="mw-id">{}</code>', obj.type)

    @admin.display(description=_("emitted by"))
    def emitted_by(self, obj: OutboxEvent) -> SafeString:
        """The microworkflow, or the context where a flow begins."""
        return format_html("<code>{}</code>", obj.workflow or obj.context)

    @admin.display(description=_("time"), ordering="pk")
    def recorded_at(self, obj: OutboxEvent) -> SafeString:
        """Local time and date at which it was recorded; of a timer, at which it is due."""
        return texts.time_over_date(obj.recorded_at)

    @admin.display(description=_("next attempt"))
    def due(self, obj: OutboxEvent) -> str:
        """Time from which the relay takes it, while it is pending or a timer."""
        to_come = obj.status in (OutboxEvent.Status.PENDING, OutboxEvent.Status.SCHEDULED)
        return texts.due(obj.due_at) if to_come else gettext("none")

    @admin.display(description=_("refused"), ordering="retry")
    def attempts(self, obj: OutboxEvent) -> str:
        """Number of times that the broker refused it."""
        if not obj.attempts:
            return gettext("never")
        return ngettext("%(count)s times", "%(count)s times", obj.attempts) % {"count": obj.attempts}

    @admin.display(description=_("last error"))
    def last_error(self, obj: OutboxEvent) -> SafeString | str:
        """The broker's last error."""
        return texts.block(obj.error) if obj.error else gettext("none")

    @admin.display(description=_("event id"))
    def event_id(self, obj: OutboxEvent) -> SafeString:
        """Id of the event, with a link to its inbox rows."""
        link = self._inbox_link(obj, gettext("who received it"))
        return format_html('<code class="mw-id">{}</code> {}', obj.pk, link)

    @admin.display(description=_("about"), empty_value="")
    def about(self, obj: OutboxEvent) -> SafeString | str:
        """Name of what the flow is about, with a link to the journey."""
        return about_link(obj.subject, obj.correlation_id, request=self.request, site=self.admin_site.name)

    @admin.display(description=_("flow"))
    def flow(self, obj: OutboxEvent) -> SafeString:
        """Correlation id, with a link to the journey."""
        return flow_link(obj.correlation_id, request=self.request, site=self.admin_site.name)

    @admin.display(description=_("caused by"))
    def caused_by(self, obj: OutboxEvent) -> SafeString | str:
        """The event before it in the flow."""
        if obj.causation_id is None:
            return gettext("nothing before it: the flow begins here")
        url = reverse(
            "admin:microworkflows_outboxevent_change",
            args=[quote(obj.causation_id)],
            current_app=self.admin_site.name,
        )
        return format_html('<a href="{}"><code class="mw-id">{}</code></a>', url, obj.causation_id)

    @admin.display(description=_("CloudEvent"))
    def cloud_event(self, obj: OutboxEvent) -> SafeString:
        """The whole envelope; sensitive data are masked."""
        return texts.block(texts.pretty_json(masking.event(obj.body)))

    @admin.display(description=_("see also"))
    def links(self, obj: OutboxEvent) -> SafeString:
        """Links to the journey and to the inbox."""
        return texts.links(
            journey_link(obj.correlation_id, request=self.request, site=self.admin_site.name),
            self._inbox_link(obj, gettext("inbox")),
        )

    def _inbox_link(self, obj: OutboxEvent, text: str) -> SafeString:
        if self.request is None or not may(self.request, "view_inboxevent"):
            return SafeString()
        url = reverse("admin:microworkflows_inboxevent_changelist", current_app=self.admin_site.name)
        return format_html('<a href="{}?q={}">{}</a>', url, obj.pk, text)


def contexts_view(request: HttpRequest) -> HttpResponseBase:
    """Return the contexts' table of the first page as it is now; 304 if nothing has changed."""
    return polled(request, "microworkflows/contexts_fragment.html", {"table": contexts.table(request)})
