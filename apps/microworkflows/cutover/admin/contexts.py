"""The page of the cut-over: the mode and figures of each context, and the buttons to go on or back."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from microworkflows import celery_app, holds
from microworkflows.admin import naming, texts
from microworkflows.admin.journeys import flow_link
from microworkflows.cutover import backlog, conf, footprints, queries, switch
from microworkflows.cutover.admin.reading import ReadOnlyAdmin
from microworkflows.cutover.doubts import Doubt
from microworkflows.cutover.models import ContextMode, MissedEvent, ModeChange
from microworkflows.cutover.overview import NEWEST, named, overview
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import CutoverRefusedError, DoubtfulError, Setting
from microworkflows.pages import pause_url, sees_journeys

_LAST_CHANGES = 20
_MOST_LISTED = 1_000
_NEWEST = f"{NEWEST:,}".replace(",", "\N{NO-BREAK SPACE}")


@admin.register(ContextMode)
class ContextModeAdmin(ReadOnlyAdmin):
    """All contexts on one page, even those without a row; buttons change their modes."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True if this user may press the buttons."""
        return request.user.has_perm("microworkflows_cutover.change_contextmode")

    def get_urls(self) -> list[URLPattern]:
        """Add the URL for the buttons."""
        change = path(
            "<str:context>/switch/",
            self.admin_site.admin_view(self.switch_view),
            name="microworkflows_cutover_switch",
        )
        back = path(
            "<str:context>/return/",
            self.admin_site.admin_view(self.return_view),
            name="microworkflows_cutover_return",
        )
        flows = path(
            "<str:context>/flows/",
            self.admin_site.admin_view(self.flows_view),
            name="microworkflows_cutover_flows",
        )
        return [change, back, flows, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        user, figures = request.user, overview()
        unserved = [context.name for context in figures.contexts if not context.has_worker]
        pauses = holds.in_force()
        context = {
            "title": gettext("Cut-over"),
            "mw_overview": figures,
            "mw_backlog": backlog.without_consumer(unserved),
            "mw_pause_urls": {
                context.name: pause_url(request, pauses, site=self.admin_site.name, what=context.name)
                for context in figures.contexts
            },
            "mw_newest": _NEWEST,
            "mw_changes": ModeChange.objects.all()[:_LAST_CHANGES],
            "mw_celery_app": celery_app.get().main,
            "mw_may_switch": self.has_change_permission(request),
            "mw_see_journeys": sees_journeys(request),
            "mw_see_inbox": user.has_perm("microworkflows.view_inboxevent"),
            "mw_see_missed": user.has_perm("microworkflows_cutover.view_missedevent"),
            "mw_see_changes": user.has_perm("microworkflows_cutover.view_modechange"),
            "mw_see_comparisons": user.has_perm("microworkflows_cutover.view_shadowcomparison"),
            **(extra_context or {}),
        }
        return self.framed(request, "admin/microworkflows_cutover/contexts.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Redirect to the context's place on the page: it has no page of its own."""
        if object_id is None or not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(f"{self._page()}#{object_id}")

    def switch_view(self, request: HttpRequest, context: str) -> HttpResponseBase:
        """Change a context's mode, unless it is no longer the one that the page showed; return to the page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        try:
            expected, wanted = (_setting(request.POST.get(name, "")) for name in ("expected", "wanted"))
        except ValueError:
            return HttpResponseBadRequest(
                gettext("The form does not name a mode. Go back, load the page again, and use its buttons.")
            )
        try:
            switch.change(
                context,
                mode=wanted.mode,
                percent=wanted.percent,
                by=request.user.get_username(),
                why=request.POST.get("why", ""),
                expected=expected,
                although=request.POST.getlist("although"),
            )
        except DoubtfulError as error:
            return self._ask(request, context, expected, wanted, error.doubts)
        except CutoverRefusedError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            said = gettext(
                "%(context)s goes from %(before)s to %(after)s, for the flows that begin now; others end as they began."
            )
            told = {"context": context, "before": expected.said, "after": wanted.said}
            self.message_user(request, said % told, messages.SUCCESS)
            if wanted.mode is not Mode.INLINE and not (known := footprints.summary(context)).is_clear:
                warning = (gettext("No shadow run shows this."), known.said[0])
                self.message_user(request, " ".join(warning), messages.WARNING)
        return HttpResponseRedirect(f"{self._page()}#{context}")

    def return_view(self, request: HttpRequest, context: str) -> HttpResponseBase:
        """Set at how many failing messages a context goes back to inline by itself; return to the page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        given = request.POST.get("failing", "").strip()
        if given and not given.isdecimal():
            return HttpResponseBadRequest(
                gettext("The form does not name a number. Go back, and use its field.")
            )
        failing = int(given[:9]) if given else None
        try:
            switch.return_at(context, failing, by=request.user.get_username())
        except CutoverRefusedError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            said = (
                gettext(
                    "%(context)s goes back to inline by itself: at %(failing)s failing messages of its live flows."
                )
                if failing
                else gettext("%(context)s goes back to inline by itself: never.")
            )
            self.message_user(request, said % {"context": context, "failing": failing}, messages.SUCCESS)
        return HttpResponseRedirect(f"{self._page()}#{context}")

    def flows_view(self, request: HttpRequest, context: str) -> HttpResponse:
        """List the flows that need a context's own worker."""
        if not (
            self.has_view_permission(request) and request.user.has_perm("microworkflows.view_inboxevent")
        ):
            raise PermissionDenied
        if context not in conf.contexts():
            raise Http404(gettext("%(context)s is not being handed over.") % {"context": context})
        waiting = queries.live(context, queries.waiting_for(context, newest=NEWEST))
        page = {
            "title": ngettext(
                "%(number)s flow needs the %(context)s worker",
                "%(number)s flows need the %(context)s worker",
                len(waiting),
            )
            % {"number": len(waiting), "context": context},
            "mw_context": context,
            "mw_newest": _NEWEST,
            "mw_flows": named(waiting[:_MOST_LISTED]),
            "mw_more": max(len(waiting) - _MOST_LISTED, 0),
            "mw_see_journeys": sees_journeys(request),
            "mw_back_url": f"{self._page()}#{context}",
        }
        return self.framed(request, "admin/microworkflows_cutover/flows.html", page)

    def _ask(
        self, request: HttpRequest, context: str, present: Setting, wanted: Setting, found: Sequence[Doubt]
    ) -> HttpResponse:
        """Show what speaks against a change, with the button to go on although that is known."""
        page = {
            "title": gettext("Let %(context)s go %(mode)s?") % {"context": context, "mode": wanted.said},
            "mw_context": context,
            "mw_expected": present.said,
            "mw_expected_value": _value(present),
            "mw_wanted": wanted.said,
            "mw_wanted_value": _value(wanted),
            "mw_why": request.POST.get("why", ""),
            "mw_doubts": found,
            "mw_kinds": list(dict.fromkeys(doubt.kind.value for doubt in found)),
            "mw_back_url": f"{self._page()}#{context}",
        }
        return self.framed(request, "admin/microworkflows_cutover/question.html", page)

    def _page(self) -> str:
        return reverse(
            "admin:microworkflows_cutover_contextmode_changelist", current_app=self.admin_site.name
        )


@admin.register(ModeChange)
class ModeChangeAdmin(ReadOnlyAdmin):
    """The whole history, newest first."""

    list_display = ["when", "context", "change", "changed_by", "why_and_although"]
    list_display_links = None
    list_filter = ["context"]
    ordering = ["-pk"]

    @admin.display(description=_("when"), ordering="changed_at")
    def when(self, obj: ModeChange) -> SafeString:
        """Local time and date."""
        return texts.time_over_date(obj.changed_at)

    @admin.display(description=_("change"))
    def change(self, obj: ModeChange) -> SafeString:
        """Old and new mode."""
        return format_html('<span class="mw-line">{} → {}</span>', obj.from_described, obj.to_described)

    @admin.display(description=_("why"))
    def why_and_although(self, obj: ModeChange) -> SafeString:
        """Reason, and below it what spoke against the change."""
        against = format_html_join(
            "",
            '<span class="mw-under">{}</span>',
            ([gettext("although: %(said)s") % {"said": said}] for said in obj.against),
        )
        return format_html("{}{}", obj.why, against)


@admin.register(MissedEvent)
class MissedEventAdmin(ReadOnlyAdmin):
    """Events that could not be recorded beside the direct calls, newest first."""

    list_display = ["event", "when", "error", "flow"]
    list_display_links = None
    list_filter = ["event"]
    ordering = ["-pk"]

    @admin.display(description=_("when"), ordering="missed_at")
    def when(self, obj: MissedEvent) -> SafeString:
        """Local time and date."""
        return texts.time_over_date(obj.missed_at)

    @admin.display(description=_("flow"))
    def flow(self, obj: MissedEvent) -> SafeString | str:
        """Correlation id, with a link to the journey."""
        if not obj.correlation_id:
            return gettext("unknown")
        return flow_link(obj.correlation_id, request=self.request, site=self.admin_site.name)


naming.name(
    ModeChange,
    _("mode change"),
    _("mode changes"),
    context=_("context"),
    from_mode=_("from mode"),
    from_percent=_("from percent"),
    to_mode=_("to mode"),
    to_percent=_("to percent"),
    why=_("why"),
    although=_("although"),
    changed_by=_("changed by"),
    changed_at=_("changed at"),
)
naming.name(
    MissedEvent,
    _("missed event"),
    _("missed events"),
    event=_("event"),
    error=_("error"),
    correlation_id=_("correlation id"),
    missed_at=_("missed at"),
)


def _value(setting: Setting) -> str:
    """Return a button's value."""
    return f"{setting.mode} {setting.percent or ''}".strip()


def _setting(text: str) -> Setting:
    """Read a button's value, such as ``inline`` or ``live 10``."""
    mode, _, percent = text.strip().partition(" ")
    return Setting(Mode(mode), int(percent) if percent else None)
