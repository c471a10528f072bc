"""The pages of the problems: all of them, one of them, and the forms that replay, dismiss or assign its messages."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
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
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from microworkflows import fingerprints, holds, times
from microworkflows.admin import naming
from microworkflows.admin.reading import ReadOnlyAdmin
from microworkflows.models import InboxEvent
from microworkflows.pages import may, pause_url, sees_journeys
from microworkflows.problems import groups, replays
from microworkflows.problems.admin import trends
from microworkflows.problems.groups import Group
from microworkflows.problems.models import Problem, Replay

_PER_SECOND = 10
_LAST_REPLAYS = 5
_MOST_FAILED = 20
_MOST_USERS = 200
_LONGEST_WHY = 2_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """A problem as the page lists it."""

    group: Group
    trend: SafeString


@dataclass(frozen=True, kw_only=True)
class Run:
    """A replay as the page shows it."""

    replay: Replay
    progress: replays.Progress
    failed: list[tuple[InboxEvent, str]]
    """Messages that failed again, each with its status now."""
    unnamed: int
    """Number of messages that failed again and are not among ``failed``."""


class RefusedError(Exception):
    """The form cannot be followed; the text says why."""


@admin.register(Problem)
class ProblemAdmin(ReadOnlyAdmin):
    """What failed, by cause. The rows are groups of messages, not objects of a model."""

    class Media:
        """Badges, cards and the look for a replay's progress."""

        css = {"all": ["microworkflows/admin.css", "microworkflows/problems.css"]}
        js = ["microworkflows/problems.js"]

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of a problem's forms, and of the progress of its replays."""
        wrap = self.admin_site.admin_view
        acts = [
            path(
                f"<str:fingerprint>/{name}/",
                wrap(partial(self.act_view, name)),
                name=f"microworkflows_problems_{name}",
            )
            for name in _ACTS
        ]
        progress = path(
            "<str:fingerprint>/progress/", wrap(self.progress_view), name="microworkflows_problems_progress"
        )
        return [*acts, progress, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show all problems."""
        self._refuse_strangers(request)
        found = groups.overview()
        context = {
            "title": gettext("Problems"),
            "mw_overview": found,
            "mw_rows": [Row(group=each, trend=trends.picture(each.trend)) for each in found.groups],
            "mw_more": found.number - len(found.groups),
            "mw_hours": groups.HOURS,
            **self._sees(request),
            **(extra_context or {}),
        }
        return self.framed(request, "admin/microworkflows_problems/problems.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one problem, its replays, and the forms."""
        self._refuse_strangers(request)
        fingerprint = _fingerprint(object_id)
        group = groups.group(fingerprint)
        context = {
            "title": gettext("Problem %(name)s") % {"name": object_id},
            "mw_fingerprint": object_id,
            "mw_group": group,
            "mw_trend": trends.picture(group.trend) if group else "",
            "mw_hours": groups.HOURS,
            "mw_may": {name: act.permits(request) for name, act in _ACTS.items()},
            "mw_pause_url": group
            and pause_url(request, holds.in_force(), site=self.admin_site.name, what=group.label),
            "mw_per_second": _PER_SECOND,
            "mw_most_per_second": replays.MOST_PER_SECOND,
            "mw_users": _users(),
            **self._runs(fingerprint),
            **self._sees(request),
        }
        return self.framed(request, "admin/microworkflows_problems/problem.html", context)

    def progress_view(self, request: HttpRequest, fingerprint: str) -> HttpResponse:
        """Return the part of a problem's page that tells how its replays get on."""
        self._refuse_strangers(request)
        context = {**self._runs(_fingerprint(fingerprint)), **self._sees(request)}
        return self.framed(request, "admin/microworkflows_problems/replays.html", context)

    def act_view(self, name: str, request: HttpRequest, fingerprint: str) -> HttpResponseBase:
        """Do what a form asks for, note it in the admin's history, and return to the page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        act = _ACTS[name]
        self._refuse_strangers(request)
        if not act.permits(request):
            raise PermissionDenied
        try:
            said = act.do(_fingerprint(fingerprint), request)
        except (RefusedError, replays.ReplayRefusedError) as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            _log(request, fingerprint, said)
            self.message_user(request, said, messages.SUCCESS)
        url = reverse(
            "admin:microworkflows_problems_problem_change",
            args=[fingerprint],
            current_app=self.admin_site.name,
        )
        return HttpResponseRedirect(url)

    def _refuse_strangers(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _sees(self, request: HttpRequest) -> dict[str, Any]:
        return {"mw_see_inbox": may(request, "view_inboxevent"), "mw_see_journeys": sees_journeys(request)}

    def _runs(self, fingerprint: str) -> dict[str, Any]:
        last = Replay.objects.filter(fingerprint=fingerprint).order_by("-began_at")[:_LAST_REPLAYS]
        runs = [_run(each) for each in last] if fingerprint else []
        return {"mw_runs": runs, "mw_is_running": any(run.replay.ended_at is None for run in runs)}


def _replay(fingerprint: str, request: HttpRequest) -> str:
    try:
        per_second = int(request.POST.get("per_second", ""))
    except ValueError:
        raise RefusedError(gettext("Say how many messages a second are to be replayed.")) from None
    begun = replays.begin(
        fingerprint, by=request.user.get_username(), why=_why(request), per_second=per_second
    )
    number = replays.progress(begun).total
    said = ngettext(
        "A replay of %(number)s message has begun, %(pace)s a second.",
        "A replay of %(number)s messages has begun, %(pace)s a second.",
        number,
    )
    return said % {"number": number, "pace": per_second}


def _stop(fingerprint: str, request: HttpRequest) -> str:
    running = Replay.objects.filter(fingerprint=fingerprint, ended_at__isnull=True).first()
    if running is None:
        raise RefusedError(gettext("No replay of this problem is under way (any more)."))
    replays.stop(running, by=request.user.get_username())
    return gettext("The replay that %(by)s began was stopped.") % {"by": running.by}


def _dismiss(fingerprint: str, request: HttpRequest) -> str:
    if not (why := _why(request)):
        raise RefusedError(gettext("Give the reason why nobody needs these messages handled."))
    number = groups.messages(fingerprint).dismiss(by=request.user.get_username(), why=why)
    said = ngettext(
        "%(number)s message was dismissed. Reason: %(why)s",
        "%(number)s messages were dismissed. Reason: %(why)s",
        number,
    )
    return said % {"number": number, "why": why}


def _assign(fingerprint: str, request: HttpRequest) -> str:
    name = request.POST.get("user", "")
    if name and name not in _users():
        raise RefusedError(gettext("%(name)r is none of the active members of staff.") % {"name": name})
    Problem.objects.update_or_create(
        pk=fingerprint, defaults={"assigned_to": name, "assigned_at": times.now()}
    )
    return gettext("Assigned to %(name)s.") % {"name": name} if name else gettext("Assigned to nobody.")


@dataclass(frozen=True)
class _Act:
    """What a form does, and the permission for it."""

    do: Callable[[str, HttpRequest], str]
    permission: str

    def permits(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.permission)


_ACTS = {
    "replay": _Act(_replay, "microworkflows.replay_inboxevent"),
    "stop": _Act(_stop, "microworkflows.replay_inboxevent"),
    "dismiss": _Act(_dismiss, "microworkflows.dismiss_inboxevent"),
    "assign": _Act(_assign, "microworkflows_problems.assign_problem"),
}
_UNKNOWN = "unknown"
"""In a URL, the fingerprint of failures that an earlier version kept."""


naming.name(Problem, _("problem"), _("problems"))


def _fingerprint(name: str | None) -> str:
    """Return the fingerprint that a URL names.

    Raises:
        Http404: no failure has such a one.
    """
    if name in (None, _UNKNOWN):
        return ""
    if not fingerprints.is_one(name):
        raise Http404(gettext("No problem has the fingerprint %(name)r.") % {"name": name})
    return name


def _why(request: HttpRequest) -> str:
    return request.POST.get("why", "").strip()[:_LONGEST_WHY]


def _users() -> list[str]:
    """Return the names of the active members of staff."""
    user = get_user_model()
    name = user.USERNAME_FIELD
    return list(
        user._default_manager.filter(is_active=True, is_staff=True)
        .order_by(name)
        .values_list(name, flat=True)[:_MOST_USERS]
    )


def _run(replay: Replay) -> Run:
    rows = replays.failed_again(replay, most=_MOST_FAILED)
    failed = [(row, str(InboxEvent.Status(row.status).label)) for row in rows]
    progress = replays.progress(replay)
    return Run(replay=replay, progress=progress, failed=failed, unnamed=max(progress.failed - len(failed), 0))


def _log(request: HttpRequest, fingerprint: str, said: str) -> None:
    assert request.user.pk is not None  # the admin lets nobody in who is not logged in
    LogEntry.objects.create(
        user_id=request.user.pk,
        content_type=ContentType.objects.get_for_model(Problem),
        object_id=fingerprint,
        object_repr=f"problem {fingerprint}",
        action_flag=CHANGE,
        change_message=said,
    )
