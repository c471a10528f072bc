"""Pauses in the admin: what is held back and why, the record of those that are over, a form that pauses, a page that resumes."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, router
from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import linebreaksbr
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from microworkflows import holds, registry, times, transactions, words
from microworkflows.admin import badges, texts
from microworkflows.admin.counts import SECONDS
from microworkflows.admin.journeys import JourneyMedia
from microworkflows.admin.reading import ReadOnlyAdmin
from microworkflows.errors import MicroworkflowsError
from microworkflows.journeys import human_duration
from microworkflows.models import Hold
from microworkflows.pages import may_pause

_MOST_MINUTES: Final = 366 * 24 * 60
_BOTH_OR_NONE = _("Choose a context or a microworkflow, or give the id of a flow: one of the two.")


class PauseForm(forms.Form):
    """What is paused, why, and for how long."""

    what = forms.ChoiceField(
        label=_("Context or microworkflow"),
        required=False,
        help_text=_("A context holds all its microworkflows back."),
    )
    flow = forms.CharField(
        label=_("Or a flow"),
        required=False,
        max_length=255,
        help_text=_(
            "Its correlation id, which its journey shows. It is held back in all contexts of this database."
        ),
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    why = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        help_text=_("Others will wonder why nothing moves."),
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
    )
    minutes = forms.IntegerField(
        label=_("Minutes"),
        required=False,
        min_value=1,
        max_value=_MOST_MINUTES,
        help_text=_("It resumes by itself after these. Empty: when somebody resumes it."),
    )

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        what = self.fields["what"]
        assert isinstance(what, forms.ChoiceField)
        what.choices = _choices(also=self["what"].value() or "")

    def clean(self) -> dict[str, Any]:
        """Tell what is chosen, as ``kind`` and ``name``."""
        given = super().clean() or self.cleaned_data
        what, flow = given.get("what", ""), given.get("flow", "")
        if self.errors.keys() & {"what", "flow"}:
            return given
        if bool(what) == bool(flow):
            raise forms.ValidationError(_BOTH_OR_NONE)
        kind = Hold.Kind.FLOW if flow else holds.kind_of(what)
        if flow and not holds.is_known(kind, flow):
            self.add_error(
                "flow", gettext("No event of such a flow is known here. Its journey shows its id.")
            )
        return {**given, "kind": kind, "name": flow or what}


class StateFilter(admin.SimpleListFilter):
    """Filter by those that are in force and those that are over."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both."""
        return [(word, words.shown(word)) for word in ("paused", "over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the pauses of the chosen state."""
        value = self.value()
        return queryset if value is None else queryset.filter(mw_over=value == "over")


class KindFilter(admin.ChoicesFieldListFilter):
    """Filter by what is paused."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.title = gettext("kind")

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Offer each kind in the reader's language."""
        for choice in super().choices(changelist):
            yield {**choice, "display": words.shown(str(choice["display"]))}


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    """Every pause, those in force first; a person may begin one and end one, and nobody edits the record."""

    change_list_template = "admin/microworkflows/pauses.html"
    change_form_template = "admin/microworkflows/pause.html"
    list_per_page = 50
    list_display = ["what_and_state", "since", "until", "waiting", "by_and_why", "resumed"]
    list_filter = [StateFilter, ("kind", KindFilter)]
    search_fields = ["name", "by", "why"]
    search_help_text = _(
        "Label of a context or microworkflow, correlation id of a flow, name of a person, or part of a reason"
    )
    readonly_fields = ["what", "state", "since", "until", "waiting", "paused_by", "reason", "resumed"]
    fields = [*readonly_fields]

    class Media(JourneyMedia):
        """Badges."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return True for those who may pause and resume."""
        return may_pause(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Tell of each whether it is over."""
        now = times.now()
        is_over = When(Q(ended_at__isnull=False) | Q(ends_at__lte=now), then=Value(True))
        over = Case(is_over, default=Value(False), output_field=BooleanField())
        rows: QuerySet[Any] = Hold.objects.annotate(mw_over=over)
        return rows.order_by(*self.get_ordering(request))

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Those in force first, then the newest."""
        return ["mw_over", "-began_at"]

    def get_urls(self) -> list[URLPattern]:
        """Add the page that resumes."""
        view = self.admin_site.admin_view(self.resume_view)
        return [
            path("<path:object_id>/resume/", view, name="microworkflows_hold_resume"),
            *super().get_urls(),
        ]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Count what waits for those of the page that are in force, all at once."""
        listed = super().get_changelist_instance(request)
        _count([hold for hold in listed.result_list if not hold.mw_over])
        return listed

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask what shall be paused and why, filled in by the link that leads here; pause it."""
        if not may_pause(request):
            raise PermissionDenied
        asked = {name: request.GET[name] for name in ("what", "flow") if name in request.GET}
        form = PauseForm(request.POST) if request.method == "POST" else PauseForm(initial=asked)
        if form.is_valid() and (made := self._pause(request, form)):
            said = gettext("The %(pause)s is paused until %(end)s. Workers follow within two seconds.")
            self.message_user(request, said % {"pause": made, "end": _until(made)}, messages.SUCCESS)
            return HttpResponseRedirect(self._after(request))
        context = {
            "title": pgettext("do it", "Pause"),
            "mw_form": form,
            "mw_list_url": self._after(request),
            **(extra_context or {}),
        }
        return self.framed(request, "admin/microworkflows/pause_form.html", context)

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether a pause shall be over; once confirmed, resume."""
        if not may_pause(request):
            raise PermissionDenied
        hold = self.get_object(request, unquote(object_id))
        if hold is None:
            raise Http404(
                gettext("No pause has the key %(key)r; it may have been purged.") % {"key": object_id}
            )
        if hold.over_at(datetime.now(UTC)) is not None:
            self._say_resumed_already(request, hold)
            return HttpResponseRedirect(self._after(request))
        if request.method == "POST":
            self._resume(request, hold)
            return HttpResponseRedirect(self._after(request))
        _count([hold])
        context = {
            "title": gettext("Resume the %(pause)s") % {"pause": hold},
            "mw_hold": hold,
            "mw_waiting": _number(hold),
            "mw_list_url": self._after(request),
        }
        return self.framed(request, "admin/microworkflows/pause_resume.html", context)

    def render_change_form(  # noqa: PLR0917  (Django's signature)
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the link to the page that resumes."""
        if obj is not None:
            if obj.over_at(datetime.now(UTC)) is None:
                _count([obj])
            context["subtitle"] = str(obj)
            context["mw_resume_url"] = self._resume_url(obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description=_("what"), ordering="name")
    def what_and_state(self, obj: Hold) -> SafeString:
        """Name, and below it kind and state."""
        name = format_html('<code class="mw-id">{}</code>', obj.name)
        return format_html('{}<span class="mw-under">{} {}</span>', name, _kind(obj), self.state(obj))

    @admin.display(description=_("what"))
    def what(self, obj: Hold) -> SafeString:
        """Kind and name."""
        return format_html('{} <code class="mw-id">{}</code>', _kind(obj), obj.name)

    @admin.display(description=_("state"))
    def state(self, obj: Hold) -> SafeString:
        """Paused or over, as a badge."""
        return badges.badge("over" if self._over_at(obj) else "paused")

    @admin.display(description=_("since"), ordering="began_at")
    def since(self, obj: Hold) -> SafeString:
        """Local time of its beginning, and below it how long it lasts or has lasted."""
        lasts = (self._over_at(obj) or datetime.now(UTC)) - times.aware(obj.began_at)
        said = (
            gettext("for less than a minute")
            if lasts < timedelta(minutes=1)
            else gettext("for %(duration)s") % {"duration": human_duration(lasts)}
        )
        return format_html('{}<span class="mw-under">{}</span>', texts.when_in_two_lines(obj.began_at), said)

    @admin.display(description=_("until"), ordering="ends_at")
    def until(self, obj: Hold) -> SafeString | str:
        """Local time of the end that was set."""
        if obj.ends_at is not None:
            return texts.when_in_two_lines(obj.ends_at)
        return "–" if self._over_at(obj) else gettext("somebody resumes it")

    @admin.display(description=_("waiting"))
    def waiting(self, obj: Hold) -> str:
        """Number of messages that wait for its end."""
        return "–" if self._over_at(obj) else _number(obj)

    @admin.display(description=_("paused by"), ordering="by")
    def by_and_why(self, obj: Hold) -> SafeString:
        """Name of the person, and below it the reason."""
        return format_html('<bdi>{}</bdi><span class="mw-reason">{}</span>', obj.paused_by, obj.why)

    @admin.display(description=_("paused by"))
    def paused_by(self, obj: Hold) -> SafeString:
        """Name of the person."""
        return format_html("<bdi>{}</bdi>", obj.paused_by)

    @admin.display(description=_("reason"))
    def reason(self, obj: Hold) -> SafeString:
        """The reason, with its line breaks."""
        return linebreaksbr(obj.why)

    @admin.display(description=_("resumed"))
    def resumed(self, obj: Hold) -> SafeString | str:
        """Who resumed it and when; the link that resumes it, while it is in force."""
        if (over_at := self._over_at(obj)) is None:
            url = self._resume_url(obj)
            if not url:
                return gettext("not yet")
            label = gettext("Resume… %(pause)s") % {"pause": obj}
            return format_html('<a href="{}" aria-label="{}">{}</a>', url, label, gettext("Resume…"))
        by = (
            format_html(gettext("by {name}"), name=format_html("<bdi>{}</bdi>", obj.resumed_by))
            if obj.ended_by
            else gettext("by itself")
        )
        return format_html('{}<span class="mw-under">{}</span>', texts.when_in_two_lines(over_at), by)

    def _over_at(self, obj: Hold) -> datetime | None:
        return obj.over_at(datetime.now(UTC))

    def _pause(self, request: HttpRequest, form: PauseForm) -> Hold | None:
        """Pause what the form says; None, and an error in the form, if that is not possible."""
        given, minutes = form.cleaned_data, form.cleaned_data["minutes"]
        ends_at = None if minutes is None else datetime.now(UTC) + timedelta(minutes=minutes)
        try:
            with transactions.read_committed(using=router.db_for_write(Hold)):
                made = holds.pause(
                    given["kind"],
                    given["name"],
                    by=request.user.get_username(),
                    why=given["why"],
                    ends_at=ends_at,
                )
                self.log_addition(
                    request,
                    made,
                    gettext("Paused in the admin. Reason: %(reason)s") % {"reason": given["why"]},
                )
        except MicroworkflowsError as error:
            form.add_error("flow" if given["flow"] else "what", str(error))
            return None
        return made

    def _resume(self, request: HttpRequest, hold: Hold) -> None:
        try:
            with transactions.read_committed(using=router.db_for_write(Hold)):
                holds.resume(Hold.Kind(hold.kind), hold.name, by=request.user.get_username())
                self.log_change(request, hold, gettext("Resumed in the admin."))
        except holds.NotPausedError:
            self._say_resumed_already(request, hold)
            return
        said = gettext(
            "The %(pause)s is resumed. What waits comes back in its order, few messages at first and then more."
        )
        self.message_user(request, said % {"pause": hold}, messages.SUCCESS)

    def _say_resumed_already(self, request: HttpRequest, hold: Hold) -> None:
        said = gettext("The %(pause)s was resumed already.") % {"pause": hold}
        self.message_user(request, said, messages.WARNING)

    def _resume_url(self, obj: Hold) -> str:
        if self.request is None or not may_pause(self.request) or self._over_at(obj):
            return ""
        name = "admin:microworkflows_hold_resume"
        return reverse(name, args=[quote(obj.pk)], current_app=self.admin_site.name)

    def _after(self, request: HttpRequest) -> str:
        """Return the page to which pausing and resuming lead: the list, or the first page for those who may not see it."""
        view = "microworkflows_hold_changelist" if self.has_view_permission(request) else "index"
        return reverse(f"admin:{view}", current_app=self.admin_site.name)


def _choices(*, also: str) -> list[tuple[str, Any]]:
    """Return the labels that can be chosen; one whose code is gone is among them if it is asked for and has messages."""
    contexts = registry.contexts()
    workflows = sorted(workflow.label for workflow in registry.workflows())
    gone = (
        [also]
        if also and also not in {*contexts, *workflows} and holds.is_known(holds.kind_of(also), also)
        else []
    )
    groups = {
        gettext("Contexts"): contexts,
        gettext("Microworkflows"): workflows,
        gettext("No longer declared"): gone,
    }
    return [("", gettext("none"))] + [
        (name, [(label, label) for label in labels]) for name, labels in groups.items() if labels
    ]


def _count(found: Collection[Hold]) -> None:
    """Tell each hold how many messages wait for its end; None if it takes too long to count them."""
    numbers: dict[UUID, int] = {}
    try:
        with transactions.limited(SECONDS, using=router.db_for_write(Hold)):
            numbers = holds.waiting_for(found) if found else {}
    except OperationalError:
        pass  # too many to count them for a page
    for hold in found:
        hold.mw_waiting = numbers.get(hold.pk)  # type: ignore[attr-defined]  # for the page alone


def _number(hold: Hold) -> str:
    number: int | None = getattr(hold, "mw_waiting", None)
    return gettext("unknown") if number is None else f"{number:,}"


def _kind(hold: Hold) -> str:
    return words.shown(str(Hold.Kind(hold.kind).label))


def _until(hold: Hold) -> str:
    return gettext("somebody resumes it") if hold.ends_at is None else times.shown(hold.ends_at)
