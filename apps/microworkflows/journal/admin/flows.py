"""The page of all flows: by state and outcome, searched by whatever one has in hand, each a link to its journey."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import times, words
from microworkflows.admin import naming
from microworkflows.admin.journeys import JourneyMedia
from microworkflows.admin.reading import ReadOnlyAdmin
from microworkflows.journal import flows, presence, silence
from microworkflows.journal.admin.pictures.journey import waited
from microworkflows.journal.flows import Wanted
from microworkflows.journal.models import Flow


@admin.register(Flow)
class FlowAdmin(ReadOnlyAdmin):
    """Every flow that the journal knows, the newest first. The list reads no more than a page, whatever there is."""

    class Media(JourneyMedia):
        """Badges, and the list."""

        css = {"all": ["microworkflows/admin.css", "microworkflows_journal/flows.css"]}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a page of the flows that the address asks for."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        wanted = self._wanted(request)
        page, now = flows.page(wanted), times.aware(times.now())
        context = {
            "title": gettext("Flows"),
            "silence": silence.sentence(presence.last_heard(), now=now),
            "wanted": wanted,
            "given": {name: request.GET.get(name, "") for name in ("q", "from", "to")},
            "rows": [self._row(flow, now) for flow in page.flows],
            "states": [
                (
                    words.shown(word),
                    self._url(request, state="" if word == wanted.state else word),
                    _bounded(word),
                    word == wanted.state,
                )
                for word in flows.STATES
            ],
            "outcomes": [
                (
                    word,
                    self._url(request, outcome="" if word == wanted.outcome else word),
                    word == wanted.outcome,
                )
                for word in flows.outcomes()
            ],
            "kept": [
                (name, value)
                for name, value in request.GET.items()
                if name in ("state", "outcome", "waiting_for", "variant") and value
            ],
            "next_url": page.next
            and self._url(request, after=f"{page.next[0].timestamp():.6f}_{page.next[1]}"),
            "first_url": self._url(request) if wanted.after else "",
            "all_url": request.path if request.GET else "",
        }
        return self.framed(
            request, "admin/microworkflows_journal/flows.html", {**context, **(extra_context or {})}
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Lead to the flow's journey, which has the page that every flow has."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        flow = self.get_object(request, unquote(object_id))
        if flow is None:
            raise Http404(
                gettext("No flow has the key %(key)r; it may have been purged.") % {"key": object_id}
            )
        return HttpResponseRedirect(self._journey_url(flow))

    def _wanted(self, request: HttpRequest) -> Wanted:
        asked = {name: str(value).replace("\0", "") for name, value in request.GET.items()}
        state = asked.get("state", "")
        if state.isdecimal():  # as the number of the state, too
            state = next((each.label for each in Flow.State if str(each.value) == state), "")
        return Wanted(
            state=state if state in flows.STATES else "",
            outcome=asked.get("outcome", ""),
            waiting_for=asked.get("waiting_for", ""),
            variant=asked.get("variant", ""),
            term=asked.get("q", "").strip(),
            began_from=self._day(request, "from"),
            began_before=self._day(request, "to", timedelta(days=1)),
            after=_after(asked.get("after", "")),
        )

    def _day(self, request: HttpRequest, name: str, later: timedelta = timedelta()) -> datetime | None:
        if not (given := request.GET.get(name, "")):
            return None
        with suppress(ValueError, OverflowError):
            if (day := parse_date(given)) is not None:
                return timezone.make_aware(datetime(day.year, day.month, day.day)) + later  # noqa: DTZ001  (made aware here)
        said = gettext("%(given)r is no date, so it was left out. Write it as 2026-03-14.")
        self.message_user(request, said % {"given": given}, messages.ERROR)
        return None

    def _row(self, flow: Flow, now: datetime) -> Mapping[str, Any]:
        standing = flows.standing(flow)
        return {
            "flow": flow,
            "standing": standing,
            "url": self._journey_url(flow),
            "for": waited(times.aware(flow.since), now),
        }

    def _journey_url(self, flow: Flow) -> str:
        return reverse(
            "admin:microworkflows_journey",
            args=[quote(flow.correlation_id)],
            current_app=self.admin_site.name,
        )

    def _url(self, request: HttpRequest, **changes: str) -> str:
        """Return the page's address with other parameters, from its first page on."""
        kept = {name: value for name, value in request.GET.items() if name != "after"}
        asked = {name: value for name, value in {**kept, **changes}.items() if value}
        return f"{request.path}?{urlencode(asked)}" if asked else request.path


naming.name(Flow, _("flow"), _("flows"))


def _bounded(state: str) -> str:
    number = flows.count(Wanted(state=state))
    return f"{flows.MOST_COUNTED:,}+" if number > flows.MOST_COUNTED else f"{number:,}"


def _after(given: str) -> tuple[datetime, int] | None:
    seconds, _, key = given.partition("_")
    try:
        return datetime.fromtimestamp(float(seconds), UTC), int(key)
    except (ValueError, OverflowError, OSError):
        return None  # an address that somebody cut off begins at the first page
