"""Dead letters in the admin: those of every context, read from the broker as the page is asked for; requeued or dropped."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from microworkflows import dead_letters, masking, topology
from microworkflows import texts as foreign
from microworkflows.admin import texts
from microworkflows.admin.counts import SECONDS
from microworkflows.admin.journeys import JourneyMedia
from microworkflows.admin.reading import ReadOnlyAdmin
from microworkflows.dead_letters import Letter, Look, RequeueRefusedError
from microworkflows.errors import BrokerUnavailableError
from microworkflows.models import DeadLetter

MOST: Final = 50
"""Dead letters of a context that the page shows, the oldest ones."""
_LONGEST_BODY: Final = 5_000
_SECONDS_TO_ACT: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A dead letter as the page shows it."""

    letter: Letter
    at: str
    headers: dict[str, str]
    body: str

    @property
    def key(self) -> str:
        """Value of its checkbox."""
        return f"{self.letter.queue}:{self.letter.id}"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One context's part of the page."""

    queue: str
    count: int | None
    """None if it is unknown."""
    why_unknown: str = ""
    rows: tuple[Row, ...] = ()
    unseen: int = 0


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    """One page of all contexts' dead letters; the broker keeps them, so there is no row of any."""

    class Media(JourneyMedia):
        """Badges and blocks."""

    def may(self, request: HttpRequest, action: str) -> bool:
        """Return True if this user may ``requeue`` or ``drop`` dead letters."""
        return self.has_view_permission(request) and request.user.has_perm(
            f"microworkflows.{action}_deadletter"
        )

    def get_urls(self) -> list[URLPattern]:
        """Add the URL for the buttons."""
        act = path("act/", self.admin_site.admin_view(self.act_view), name="microworkflows_deadletter_act")
        return [act, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = dead_letters.survey(most=MOST, seconds=SECONDS)
        context = {
            "title": _("Dead letters"),
            "mw_sections": [_section(queue, look) for queue, look in found.items()],
            "mw_may_requeue": self.may(request, "requeue"),
            "mw_may_drop": self.may(request, "drop"),
            **(extra_context or {}),
        }
        return self._page(request, "admin/microworkflows/dead_letters.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Redirect to the page: a dead letter has none of its own."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(self._url("changelist"))

    def act_view(self, request: HttpRequest) -> HttpResponseBase:
        """Ask whether the selected dead letters shall be requeued or dropped; once confirmed, do it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        action, selected = request.POST.get("action", ""), _selected(request)
        if action not in ("requeue", "drop") or selected is None:
            return HttpResponseBadRequest(
                _(
                    "The form names no action, or no dead letter. Go back, load the page again, and use its buttons."
                )
            )
        if not self.may(request, action):
            raise PermissionDenied
        try:
            if not request.POST.get("confirmed"):
                return self._ask(request, action, selected)
            self._act(request, action, selected)
        except BrokerUnavailableError as error:
            said = _("The broker did not answer, so it is unknown what was done; look again: %(error)s")
            self.message_user(request, said % {"error": error}, messages.ERROR)
        return HttpResponseRedirect(self._url("changelist"))

    def _ask(self, request: HttpRequest, action: str, selected: dict[str, set[str]]) -> HttpResponse:
        rows: list[Row] = []
        with dead_letters.opened(seconds=_SECONDS_TO_ACT) as found:
            for queue, ids in selected.items():
                letters = found.find(queue, lambda letter, ids=ids: letter.id in ids, most=MOST).letters  # type: ignore[misc]  # mypy knows no lambda with a default here
                rows += map(_row, letters)
        context = {
            "title": _("Requeue dead letters") if action == "requeue" else _("Drop dead letters for good"),
            "mw_action": action,
            "mw_rows": rows,
            "mw_missing": sum(map(len, selected.values())) - len(rows),
        }
        return self._page(request, "admin/microworkflows/dead_letters_confirmation.html", context)

    def _act(self, request: HttpRequest, action: str, selected: dict[str, set[str]]) -> None:
        done: list[Letter] = []
        try:
            with dead_letters.opened(seconds=_SECONDS_TO_ACT) as found:
                for queue, ids in selected.items():
                    act = found.requeue if action == "requeue" else found.drop
                    act(queue, ids, done)
        except RequeueRefusedError as error:
            self.message_user(request, str(error), messages.ERROR)
        finally:
            self._log(request, action, done)
        wanted, count = sum(map(len, selected.values())), len(done)
        if action == "requeue":
            said = ngettext("%(count)s message requeued.", "%(count)s messages requeued.", count)
        else:
            said = ngettext("%(count)s message dropped.", "%(count)s messages dropped.", count)
        said %= {"count": count}
        if (left := wanted - count) > 0:
            alone = ngettext(
                "%(count)s left alone, or there no longer.", "%(count)s left alone, or there no longer.", left
            )
            said = f"{said} {alone % {'count': left}}"
        self.message_user(request, said, messages.SUCCESS if count == wanted else messages.WARNING)

    def _log(self, request: HttpRequest, action: str, done: list[Letter]) -> None:
        """Note who did it, in the admin's history."""
        assert request.user.pk is not None  # the admin lets nobody in who is not logged in
        for letter in done:
            LogEntry.objects.create(
                user_id=request.user.pk,
                content_type=ContentType.objects.get_for_model(DeadLetter, for_concrete_model=False),
                object_id=letter.id,
                object_repr=f"{topology.dead_letter_name(letter.queue)} {letter}"[:200],
                action_flag=CHANGE if action == "requeue" else DELETION,
                change_message=_("Requeued in the admin.")
                if action == "requeue"
                else _("Dropped in the admin."),
            )

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        urls = {"mw_act_url": self._url("act"), "mw_list_url": self._url("changelist")}
        return self.framed(request, template, {**urls, **context})

    def _url(self, view: str) -> str:
        return reverse(f"admin:microworkflows_deadletter_{view}", current_app=self.admin_site.name)


def _section(queue: str, look: Look | BrokerUnavailableError) -> Section:
    if isinstance(look, BrokerUnavailableError):
        return Section(queue=queue, count=None, why_unknown=str(look))
    return Section(queue=queue, count=look.count, rows=tuple(map(_row, look.letters)), unseen=look.unseen)


def _row(letter: Letter) -> Row:
    body = foreign.cut(masking.message(letter.text), longest=_LONGEST_BODY, translated=True)
    return Row(
        letter=letter,
        at=_("unknown") if letter.at is None else texts.local_datetime(letter.at),
        headers=masking.headers(letter.own_headers),
        body=foreign.block(body),
    )


def _selected(request: HttpRequest) -> dict[str, set[str]] | None:
    """Return the ids by queue that a form names; None if it names none, or an unknown queue."""
    selected: dict[str, set[str]] = defaultdict(set)
    for key in request.POST.getlist("selected"):
        queue, _, letter_id = key.partition(":")
        if queue not in topology.queues() or not letter_id:
            return None
        selected[queue].add(letter_id)
    return dict(selected) or None
