"""The inbox in the admin: the messages of each microworkflow, with their failures and next attempts."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from microworkflows import journeys, masking, times, words
from microworkflows.admin import badges, history, texts
from microworkflows.admin.journeys import about_link, flow_link, journey_link
from microworkflows.admin.messages import (
    Act,
    ContextFilter,
    MessageAdmin,
    StatusFilter,
    TimeFilter,
    TypeFilter,
)
from microworkflows.cloudevents import context_of, has_data
from microworkflows.models import Header, Hold, InboxEvent, InboxQuerySet, OutboxEvent, is_about
from microworkflows.pages import may, pause_url, sees_journeys


class ProblemFilter(admin.SimpleListFilter):
    """Filter by the fingerprint of the last failure; a link chooses it, no list could offer them all."""

    title = _("problem")
    parameter_name = "problem"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the one that is chosen."""
        chosen = request.GET.get(self.parameter_name)
        return [(chosen, chosen)] if chosen else []

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the messages that failed so and are not done."""
        value = self.value()
        return queryset if value is None else queryset.failing().of_problem(value)


@admin.register(InboxEvent)
class InboxEventAdmin(MessageAdmin):
    """Every received message, newest first; those that failed can be replayed or dismissed."""

    acts = {
        "again": Act(
            permission="microworkflows.replay_inboxevent",
            name=_("Replay"),
            done=ngettext_lazy("%(count)s message replayed.", "%(count)s messages replayed.", "count"),
            noted=_("Replayed in the admin."),
            hint=_("The relay redelivers waiting messages within a moment."),
            statuses=(InboxEvent.Status.PARKED, InboxEvent.Status.WAITING, InboxEvent.Status.DISMISSED),
            question=_(
                "Try these messages again now, with all their attempts? What made them fail is mended, or they fail again."
            ),
            title=ngettext_lazy("Replay %(count)s message", "Replay %(count)s messages", "count"),
            yes=_("Yes, replay"),
        ),
        "dismiss": Act(
            permission="microworkflows.dismiss_inboxevent",
            name=_("Dismiss"),
            done=ngettext_lazy("%(count)s message dismissed.", "%(count)s messages dismissed.", "count"),
            noted=_("Dismissed in the admin."),
            statuses=(InboxEvent.Status.PARKED, InboxEvent.Status.WAITING),
            question=_(
                "Give these messages up? They are never handled, unless somebody replays them before they are purged."
            ),
            title=ngettext_lazy("Dismiss %(count)s message", "Dismiss %(count)s messages", "count"),
            yes=_("Yes, dismiss"),
            needs_why=True,
        ),
    }
    statuses = InboxEvent.Status
    actions = ["send_selected_again", "dismiss_selected"]

    ordering = ["-added", "-pk"]
    list_display = ["microworkflow_and_event", "about", "status_badge", "received_at", "what_failed", "links"]
    list_filter = [StatusFilter, TimeFilter, ContextFilter, TypeFilter, ProblemFilter]
    search_fields = ["msg_id"]
    search_help_text = _(
        "Name or key of what a flow is about, correlation id of a flow, id of an event, or part of a type or of a "
        "microworkflow's label"
    )
    readonly_fields = [
        "microworkflow",
        "event",
        "type",
        "status_badge",
        "received_at",
        "attempts",
        "due",
        "error",
        "traceback",
        "history",
        "event_id",
        "about",
        "flow",
        "cloud_event",
    ]
    fields = [*readonly_fields]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Leave out the column of links for a user who may open none of their targets."""
        shown = list(super().get_list_display(request))
        return shown if sees_journeys(request) else [name for name in shown if name != "links"]

    def headline(self, row: InboxEvent) -> str:
        """Return the microworkflow and the event's name."""
        return f"{row.label}: {journeys.event_name(row.type)}"

    def act_on(self, name: str, rows: InboxQuerySet, *, by: str, why: str) -> int:
        """Replay or dismiss messages."""
        return rows.replay(by=by, why=why) if name == "again" else rows.dismiss(by=by, why=why)

    def has_dismiss_permission(self, request: HttpRequest) -> bool:
        """Return True if this user may dismiss messages."""
        return self._may(request, "dismiss")

    @admin.action(description=_("Replay selected"), permissions=["again"])
    def send_selected_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Name the action after what it does here."""
        return super().send_selected_again(request, queryset)

    @admin.action(description=_("Dismiss selected"), permissions=["dismiss"])
    def dismiss_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Give messages up, with a reason."""
        return self.act(request, "dismiss", queryset)

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[QuerySet[InboxEvent], bool]:
        """Search by event id, flow, and what it is about, which have indexes; read the whole inbox if that finds nothing.

        A long flow is searched in the whole inbox as well, because it would take too many look-ups in the indexes.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        flows = [term, *journeys.flows_about(term)]
        event_ids = set(
            OutboxEvent.objects.of_flow(*flows).values_list("pk", flat=True)[: journeys.MOST_EVENTS + 1]
        )
        with suppress(ValueError):  # then it is not an event's id
            event_ids.add(UUID(term))
        if len(event_ids) <= journeys.MOST_EVENTS:
            indexed = queryset.of_deliveries(journeys.possible_deliveries(event_ids))
            if indexed.exists():
                return indexed, False
        return queryset.filter(
            Q(msg_id__icontains=term)
            | Q(headers__correlation_id=term)
            | Q(headers__type__icontains=term)
            | Q(body__id=term)  # as a foreign producer wrote it
            | is_about(term)
        ), False

    @admin.display(description=_("microworkflow"), ordering="msg_id")
    def microworkflow(self, obj: InboxEvent) -> SafeString:
        """Label of the microworkflow."""
        return format_html("<code>{}</code>", obj.label)

    @admin.display(description=_("microworkflow"), ordering="msg_id")
    def microworkflow_and_event(self, obj: InboxEvent) -> SafeString:
        """Label of the microworkflow, and below it the event."""
        return format_html('<code>{}</code><span class="mw-under">{}</span>', obj.label, self.event(obj))

    @admin.display(description=_("event"))
    def event(self, obj: InboxEvent) -> str:
        """Name of the event for people, such as Order accepted."""
        return journeys.event_name(obj.type)

    @admin.display(description=_("type"))
    def type(self, obj: InboxEvent) -> SafeString:
        """The versioned type."""
        return format_html('<code class="mw-id">{}</code>', obj.type)

    @admin.display(description=_("received"), ordering="added")
    def received_at(self, obj: InboxEvent) -> SafeString:
        """Local time and date."""
        return texts.time_over_date(obj.received_at)

    @admin.display(description=_("attempts"), ordering="retry")
    def attempts(self, obj: InboxEvent) -> str:
        """Number of failed attempts, and a success after them."""
        if not obj.attempts:
            return gettext("none failed")
        if self._handled(obj):
            said = ngettext(
                "%(count)s failed, the next one succeeded",
                "%(count)s failed, the next one succeeded",
                obj.attempts,
            )
        else:
            said = ngettext("%(count)s failed", "%(count)s failed", obj.attempts)
        return said % {"count": obj.attempts}

    @admin.display(description=_("next attempt"), ordering="expires_at")
    def due(self, obj: InboxEvent) -> str:
        """Time of the next attempt, or what it waits for, while it waits; else since when there is none."""
        if hold := self._hold(obj):
            said = gettext(
                "when it is resumed: the %(pause)s is paused since %(time)s by %(name)s: %(reason)s"
            )
            since = times.shown(hold.began_at)
            return said % {"pause": hold, "time": since, "name": hold.paused_by, "reason": hold.why}
        if obj.status == InboxEvent.Status.WAITING:
            due = texts.due(obj.due_at)
            is_turn = Header.TURN in (obj.headers or {})
            return gettext("%(time)s, in its turn") % {"time": due} if is_turn else due
        if self._handled(obj):
            return gettext("none")
        return gettext("%(status)s since %(time)s") % {
            "status": words.shown(self.statuses(obj.status).label),
            "time": texts.local_datetime(obj.due_at),
        }

    @admin.display(description=_("what failed"), empty_value="")
    def what_failed(self, obj: InboxEvent) -> SafeString | str:
        """First line of the error and the next attempt, for the list; the pause for which it waits."""
        if hold := self._hold(obj):
            said = (
                ngettext(
                    "{count} failed; the {pause} is paused since {time} by {name}",
                    "{count} failed; the {pause} is paused since {time} by {name}",
                    obj.attempts,
                )
                if obj.attempts
                else gettext("the {pause} is paused since {time} by {name}")
            )
            since = times.shown(hold.began_at)
            return format_html(said, count=obj.attempts, pause=hold, time=since, name=hold.paused_by)
        if not obj.error or self._handled(obj):
            return ""
        if obj.status == InboxEvent.Status.WAITING:
            said = ngettext(
                "%(count)s attempt failed, next attempt %(time)s",
                "%(count)s attempts failed, next attempt %(time)s",
                obj.attempts,
            ) % {"count": obj.attempts, "time": self.due(obj)}
        else:
            said = ngettext(
                "%(count)s attempt failed, %(state)s", "%(count)s attempts failed, %(state)s", obj.attempts
            ) % {"count": obj.attempts, "state": self.due(obj)}
        return format_html(
            '<span class="mw-failed">{}</span><span class="mw-under">{}</span>',
            obj.error.splitlines()[0],
            said,
        )

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, obj: InboxEvent) -> SafeString:
        """Status as a badge, and whether a pause keeps it waiting."""
        status = super().status_badge(obj)
        return format_html("{} {}", status, badges.badge("paused")) if self._hold(obj) else status

    def render_change_form(  # noqa: PLR0917  (Django's signature)
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the link that pauses the message's microworkflow."""
        if obj is not None:
            hold = self.hold_over(obj.label, flow=obj.correlation_id)
            pauses = [] if hold is None else [hold]
            context["mw_pause_url"] = pause_url(request, pauses, site=self.admin_site.name, what=obj.label)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description=_("last error"))
    def error(self, obj: InboxEvent) -> SafeString | str:
        """The error in full."""
        return texts.block(obj.error) if obj.error else gettext("none")

    @admin.display(description=_("traceback"))
    def traceback(self, obj: InboxEvent) -> SafeString | str:
        """Traceback of the last failed attempt."""
        return texts.block(obj.traceback) if obj.traceback else gettext("none")

    @admin.display(description=_("history"))
    def history(self, obj: InboxEvent) -> SafeString | str:
        """Each failed attempt, and who replayed or dismissed it."""
        return history.table(obj)

    @admin.display(description=_("event id"))
    def event_id(self, obj: InboxEvent) -> SafeString:
        """Id of the event, with a link to its outbox row."""
        return format_html(
            '<code class="mw-id">{}</code> {}', obj.event_id, self._outbox_link(obj, gettext("in the outbox"))
        )

    @admin.display(description=_("about"), empty_value="")
    def about(self, obj: InboxEvent) -> SafeString | str:
        """Name of what the flow is about, with a link to the journey."""
        return about_link(obj.subject, obj.correlation_id, request=self.request, site=self.admin_site.name)

    @admin.display(description=_("flow"))
    def flow(self, obj: InboxEvent) -> SafeString:
        """Correlation id, with a link to the journey."""
        return flow_link(obj.correlation_id, request=self.request, site=self.admin_site.name)

    @admin.display(description=_("CloudEvent"))
    def cloud_event(self, obj: InboxEvent) -> SafeString:
        """The whole envelope; sensitive data are masked, and of a handled message none are kept."""
        if has_data(obj.body):
            return texts.block(texts.pretty_json(masking.event(obj.body)))
        attributes = {name: value for name, value in obj.body.items() if name != "data"}
        said = gettext(
            "The data are not kept, because it was handled; the outbox of %(context)s may have them."
        ) % {"context": context_of(obj.type)}
        return format_html('{}<p class="mw-quiet">{}</p>', texts.block(texts.pretty_json(attributes)), said)

    @admin.display(description=_("see also"))
    def links(self, obj: InboxEvent) -> SafeString:
        """Links to the journey and to the outbox."""
        return texts.links(
            journey_link(obj.correlation_id, request=self.request, site=self.admin_site.name),
            self._outbox_link(obj, gettext("outbox")),
        )

    def _outbox_link(self, obj: InboxEvent, text: str) -> SafeString:
        if self.request is None or not may(self.request, "view_outboxevent"):
            return SafeString()
        url = reverse(
            "admin:microworkflows_outboxevent_change",
            args=[quote(obj.event_id)],
            current_app=self.admin_site.name,
        )
        return format_html('<a href="{}">{}</a>', url, text)

    def _hold(self, obj: InboxEvent) -> Hold | None:
        if obj.status != InboxEvent.Status.WAITING:
            return None
        return self.hold_over(obj.label, flow=obj.correlation_id)

    def _handled(self, obj: InboxEvent) -> bool:
        return bool(obj.status == InboxEvent.Status.HANDLED)
