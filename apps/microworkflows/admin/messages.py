"""Base of outbox and inbox in the admin: rows are read, never edited, and stuck messages can be sent again."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import models, router
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from microworkflows import registry, transactions
from microworkflows.admin import badges
from microworkflows.admin.journeys import JourneyMedia
from microworkflows.admin.reading import ReadOnlyAdmin


class MessageAdmin(ReadOnlyAdmin):
    """Read-only list and page of messages, with one action: send stuck messages again."""

    change_form_template = "admin/microworkflows/message_change_form.html"
    list_per_page = 50
    show_full_result_count = False
    actions = ["send_selected_again"]

    again_permission: ClassVar[str]
    """Permission to send again, such as ``microworkflows.replay_inboxevent``."""
    again_name: ClassVar[str]
    """Name of button and action, such as ``Replay``."""
    again_done: ClassVar[str]
    """Participle for message and history, such as ``replayed``."""
    again_hint: ClassVar[str]
    """Sentence about the next thing to happen."""
    statuses: ClassVar[type[models.IntegerChoices]]
    stuck: ClassVar[Sequence[int]]
    """Statuses from which a message can be sent again."""

    class Media(JourneyMedia):
        """Badges and journeys."""

    def headline(self, row: Any) -> str:
        """Return the headline of a message's page."""
        raise NotImplementedError

    def send_again(self, rows: Any) -> int:
        """Send the rows of a queryset again; return their number."""
        raise NotImplementedError

    def has_again_permission(self, request: HttpRequest) -> bool:
        """Return True if this user may send messages again."""
        return request.user.has_perm(self.again_permission)

    def send_selected_again(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Send the stuck ones of the selected messages again; report the number of the others, and why.

        A subclass names the action.
        """
        with transactions.read_committed(using=router.db_for_write(self.model)):
            selected = set(queryset.values_list("pk", flat=True))
            # Rows that a worker has locked are being handled at this moment: they are left to it.
            rows = list(
                self.model._default_manager.select_for_update(skip_locked=True)
                .filter(pk__in=selected)
                .defer("body")
            )
            stuck = [row for row in rows if row.status in self.stuck]
            done = self.send_again(self.model._default_manager.filter(pk__in=[row.pk for row in stuck]))
            if stuck:
                assert request.user.pk is not None  # the admin lets nobody in who is not logged in
                LogEntry.objects.log_actions(
                    request.user.pk, stuck, CHANGE, f"{self.again_done.capitalize()} in the admin."
                )
        left = Counter(self.statuses(row.status).label for row in rows if row.status not in self.stuck)
        left["being handled this moment"] = len(selected) - len(rows)
        self.message_user(request, *self._summary(done, +left))

    def _summary(self, done: int, left: Counter[str]) -> tuple[str, int]:
        said = [f"{done} {'message' if done == 1 else 'messages'} {self.again_done}."]
        if done:
            said.append(self.again_hint)
        if left:
            reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(left.items()))
            said.append(f"{left.total()} left alone: {reasons}.")
        return " ".join(said), messages.WARNING if left else messages.SUCCESS

    def get_urls(self) -> list[URLPattern]:
        """Add the URL for the button."""
        again = path(
            "<path:object_id>/again/",
            self.admin_site.admin_view(self.again_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_again",
        )
        return [again, *super().get_urls()]

    def again_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Send one message again and return to its page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and self.has_again_permission(request)):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"No {self.opts.verbose_name} has the key {object_id!r}; it may have been purged.")
        self.send_selected_again(request, self.get_queryset(request).filter(pk=row.pk))
        return HttpResponseRedirect(self._url("change", row))

    def render_change_form(  # noqa: PLR0917  (Django's signature)
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the button and the link to the journey."""
        if obj is not None:
            context["mw_row"] = obj
            context["subtitle"] = self.headline(obj)
            context["mw_again_name"] = self.again_name
            if obj.status in self.stuck and self.has_again_permission(request):
                context["mw_again_url"] = self._url("again", obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="status", ordering="status")
    def status_badge(self, obj: Any) -> SafeString:
        """Status as a badge."""
        return badges.badge(self.statuses(obj.status).label)

    def _url(self, view: str, obj: Any) -> str:
        return reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}",
            args=[quote(obj.pk)],
            current_app=self.admin_site.name,
        )


class StatusFilter(admin.SimpleListFilter):
    """Filter by status, in words: ``?status=parked``."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each status."""
        self._by_label = {status.label: status.value for status in model_admin.statuses}
        return [(label, label) for label in self._by_label]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Keep the rows with the chosen status."""
        value = self.value()
        return queryset if value is None else queryset.filter(status=self._by_label.get(value))


class ContextFilter(admin.SimpleListFilter):
    """Filter by the context that announced the event, or received it."""

    title = "context"
    parameter_name = "context"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each context that announces or listens."""
        return [(context, context) for context in registry.contexts()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the rows of the chosen context."""
        value = self.value()
        return queryset if value is None else queryset.of_context(value)


class TypeFilter(admin.SimpleListFilter):
    """Filter by type of event."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each type that is announced or heard."""
        heard = {workflow.on.event_type for workflow in registry.workflows()}
        return [(event_type, event_type) for event_type in sorted(heard | set(registry.announced()))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the events of the chosen type."""
        value = self.value()
        return queryset if value is None else queryset.of_type(value)
