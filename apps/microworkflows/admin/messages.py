"""Base of outbox and inbox in the admin: rows are read, never edited, and people can act on stuck messages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
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
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from microworkflows import ids, registry, transactions, words
from microworkflows.admin import badges
from microworkflows.admin.journeys import JourneyMedia
from microworkflows.admin.reading import ReadOnlyAdmin
from microworkflows.models import Header
from microworkflows.pages import sees_journeys

_MOST_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Act:
    """Something that a person can do with messages."""

    permission: str
    """Permission for it, such as ``microworkflows.replay_inboxevent``."""
    name: Promise
    """Name of the button, such as ``Replay``."""
    done: Promise
    """Sentence about ``count`` messages, such as ``2 messages replayed.``."""
    noted: Promise
    """Sentence for the history, such as ``Replayed in the admin.``."""
    hint: Promise | str = ""
    """Sentence about the next thing to happen."""
    statuses: Sequence[int]
    """Statuses from which a message can be acted on."""
    question: Promise | str = ""
    """Question on the page that asks for a reason; empty if it is done without more ado."""
    title: Promise | str = ""
    """Title of that page, about ``count`` messages."""
    yes: Promise | str = ""
    """Its button."""
    needs_why: bool = False
    """True if a reason must be given."""


class MessageAdmin(ReadOnlyAdmin):
    """Read-only list and page of messages, with actions: one sends stuck messages again."""

    change_form_template = "admin/microworkflows/message_change_form.html"
    list_per_page = 50
    actions = ["send_selected_again"]

    acts: ClassVar[Mapping[str, Act]]
    """Acts by name in the URL; ``again`` sends stuck messages again."""
    statuses: ClassVar[type[models.IntegerChoices]]

    class Media(JourneyMedia):
        """Badges and journeys."""

    def headline(self, row: Any) -> str:
        """Return the headline of a message's page."""
        raise NotImplementedError

    def act_on(self, name: str, rows: Any, *, by: str, why: str) -> int:
        """Do an act with the rows of a queryset; return their number."""
        raise NotImplementedError

    def has_again_permission(self, request: HttpRequest) -> bool:
        """Return True if this user may send messages again."""
        return self._may(request, "again")

    def send_selected_again(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponse | None:
        """Send the stuck ones of the selected messages again; a subclass names the action."""
        return self.act(request, "again", queryset)

    def act(self, request: HttpRequest, name: str, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        """Do an act with the selected messages that it fits; report the number of the others, and why.

        Returns the page that asks for a reason, where one is asked for and not yet given; else None.
        """
        act, why = self.acts[name], request.POST.get("why", "").strip()
        if act.question and (not request.POST.get("confirmed") or (act.needs_why and not why)):
            return self._ask(request, act, queryset)
        with transactions.read_committed(using=router.db_for_write(self.model)):
            selected = set(queryset.values_list("pk", flat=True))
            # Rows that a worker has locked are being handled at this moment: they are left to it.
            rows = list(
                self.model._default_manager.select_for_update(skip_locked=True)
                .filter(pk__in=selected)
                .defer("body")
            )
            fit = [
                row
                for row in rows
                if row.status in act.statuses and not (name == "again" and _is_erased(row))
            ]
            done = self.act_on(
                name,
                self.model._default_manager.filter(pk__in=[row.pk for row in fit]),
                by=request.user.get_username(),
                why=why,
            )
            if fit:
                assert request.user.pk is not None  # the admin lets nobody in who is not logged in
                said = str(act.noted)
                if why:
                    said = gettext("%(noted)s Reason: %(reason)s") % {"noted": said, "reason": why}
                LogEntry.objects.log_actions(request.user.pk, fit, CHANGE, said)
        left = Counter(self.statuses(row.status).label for row in rows if row.status not in act.statuses)
        left["erased"] = sum(
            name == "again" and row.status in act.statuses and _is_erased(row) for row in rows
        )
        left["being handled this moment"] = len(selected) - len(rows)
        self.message_user(request, *_summary(act, done, +left))
        return None

    def _ask(self, request: HttpRequest, act: Act, queryset: models.QuerySet[Any]) -> HttpResponse:
        """Return the page that asks for a reason; its form repeats the request with the answer."""
        number, own = queryset.count(), {"confirmed", "why", "csrfmiddlewaretoken"}
        context = {
            "title": act.title % {"count": number},
            "mw_question": act.question,
            "mw_rows": queryset[:_MOST_NAMED],
            "mw_more": max(number - _MOST_NAMED, 0),
            "mw_hidden": [
                (key, value) for key in request.POST if key not in own for value in request.POST.getlist(key)
            ],
            "mw_why_required": act.needs_why,
            "mw_yes": act.yes,
            "mw_list_url": reverse(
                f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist",
                current_app=self.admin_site.name,
            ),
        }
        return self.framed(request, "admin/microworkflows/confirmation.html", context)

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs for the buttons."""
        own = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(partial(self.act_view, name)),
                name=f"{self.opts.app_label}_{self.opts.model_name}_{name}",
            )
            for name in self.acts
        ]
        return [*own, *super().get_urls()]

    def act_view(self, name: str, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Do an act with one message and return to its page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and self._may(request, name)):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(
                gettext("No %(kind)s has the key %(key)r; it may have been purged.")
                % {"kind": self.opts.verbose_name, "key": object_id}
            )
        asked = self.act(request, name, self.get_queryset(request).filter(pk=row.pk))
        return asked or HttpResponseRedirect(self._url("change", row))

    def render_change_form(  # noqa: PLR0917  (Django's signature)
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the buttons and the link to the journey."""
        if obj is not None:
            context["mw_row"] = obj
            context["mw_see_journeys"] = sees_journeys(request)
            context["subtitle"] = self.headline(obj)
            context["mw_buttons"] = {
                act.name: self._url(name, obj)
                for name, act in self.acts.items()
                if obj.status in act.statuses
                and self._may(request, name)
                and not (name == "again" and _is_erased(obj))
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, obj: Any) -> SafeString:
        """Status as a badge."""
        return badges.badge(self.statuses(obj.status).label)

    def _may(self, request: HttpRequest, name: str) -> bool:
        return request.user.has_perm(self.acts[name].permission)

    def _url(self, view: str, obj: Any) -> str:
        return reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}",
            args=[quote(obj.pk)],
            current_app=self.admin_site.name,
        )


def _is_erased(row: Any) -> bool:
    """Return True if personal data was erased from a row, so that it can never be sent again."""
    return Header.ERASED_AT in (row.headers or {})


def _summary(act: Act, done: int, left: Counter[str]) -> tuple[str, int]:
    said = [str(act.done % {"count": done})]
    if done and act.hint:
        said.append(str(act.hint))
    if left:
        reasons = ", ".join(f"{number} {words.shown(reason)}" for reason, number in sorted(left.items()))
        alone = ngettext(
            "%(count)s left alone: %(reasons)s.", "%(count)s left alone: %(reasons)s.", left.total()
        )
        said.append(alone % {"count": left.total(), "reasons": reasons})
    return " ".join(said), messages.WARNING if left else messages.SUCCESS


class StatusFilter(admin.SimpleListFilter):
    """Filter by status, in words: ``?status=parked``."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each status."""
        self._by_label = {status.label: status.value for status in model_admin.statuses}
        return [(label, words.shown(label)) for label in self._by_label]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Keep the rows with the chosen status."""
        value = self.value()
        return queryset if value is None else queryset.filter(status=self._by_label.get(value))


class TimeFilter(admin.SimpleListFilter):
    """Filter by the time of recording or receiving, which the keys hold: ``?within=24h``."""

    title = _("time")
    parameter_name = "within"

    _within = {
        "1h": (_("the last hour"), timedelta(hours=1)),
        "24h": (_("the last 24 hours"), timedelta(hours=24)),
        "7d": (_("the last 7 days"), timedelta(days=7)),
        "30d": (_("the last 30 days"), timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer some spans that end now."""
        return [(value, str(said)) for value, (said, __) in self._within.items()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Keep the rows of the chosen span; of none that is unknown."""
        if (value := self.value()) is None:
            return queryset
        if value not in self._within:
            return queryset.none()
        return queryset.filter(pk__gte=ids.lowest(timezone.now() - self._within[value][1]))


class ContextFilter(admin.SimpleListFilter):
    """Filter by the context that announced the event, or received it."""

    title = _("context")
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

    title = _("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each type that is announced or heard."""
        heard = {each for workflow in registry.workflows() for each in workflow.types}
        return [(event_type, event_type) for event_type in sorted(heard | set(registry.announced()))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the events of the chosen type."""
        value = self.value()
        return queryset if value is None else queryset.of_type(value)
