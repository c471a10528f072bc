"""The pages about the whole process: the map, the variants and the business view, each for a window that one chooses."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _

from microworkflows import times
from microworkflows.admin import naming
from microworkflows.admin.reading import ReadOnlyAdmin
from microworkflows.journal import charts, graph, mining, picture, ways, words
from microworkflows.journal.admin import links
from microworkflows.journal.business import business
from microworkflows.journal.models import Context
from microworkflows.journal.windows import SPANS, Window, window
from microworkflows.journeys import event_name
from microworkflows.pages import polled

MAP = "admin:microworkflows_journal_context_changelist"
_FOLDER = "admin/microworkflows_journal"
_BARS = {"minute": _("minute"), "hour": _("hour")}
_TITLES = {"map": _("Map"), "variants": _("Variants"), "business": _("Business view")}


@admin.register(Context)
class ContextAdmin(ReadOnlyAdmin):
    """The map of all contexts, and beside it the pages about the flows as a whole."""

    class Media:
        """The pictures, and the script that renews the map."""

        css = {"all": ["microworkflows/admin.css", "microworkflows_journal/process.css"]}
        js = ["microworkflows/journey.js"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True if this user may see flows."""
        return request.user.has_perm("microworkflows_journal.view_flow")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return True if the index lists the map."""
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        """Add the other pages, and the fragment that the map polls."""
        wrap = self.admin_site.admin_view
        return [
            path("fragment/", wrap(self.map_fragment_view), name="microworkflows_journal_map_fragment"),
            path("variants/", wrap(self.variants_view), name="microworkflows_journal_variants"),
            path("business/", wrap(self.business_view), name="microworkflows_journal_business"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the map."""
        chosen = self._window(request)
        where = reverse("admin:microworkflows_journal_map_fragment", current_app=self.admin_site.name)
        context = {"mw_fragment_url": f"{where}?window={chosen.name}", **_map(request, chosen)}
        return self._page(request, "map", chosen, context | (extra_context or {}))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Redirect to the context's place on the map: it has no page of its own."""
        if object_id is None or not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(f"{reverse(MAP, current_app=self.admin_site.name)}#in:{object_id}")

    def map_fragment_view(self, request: HttpRequest) -> HttpResponseBase:
        """Return the map as it is now; 304 if nothing has changed."""
        return polled(request, f"{_FOLDER}/map_fragment.html", _map(request, self._window(request)))

    def variants_view(self, request: HttpRequest) -> HttpResponse:
        """Show the ways that flows really went."""
        chosen = self._window(request)
        found = mining.mined(chosen)
        rows = [
            {
                "variant": each,
                "share": words.share(each.count, found.flows),
                "width": round(100 * each.count / max(found.flows, 1), 2),
                "median": words.seconds(each.median),
                "picture": ways.of_way(each.way),
                "steps": ways.steps_in_words(each.way),
                "flows": links.flows(variant=each.name),
            }
            for each in found.variants
        ]
        return self._page(request, "variants", chosen, {"mw_mined": found, "mw_variants": rows})

    def business_view(self, request: HttpRequest) -> HttpResponse:
        """Show flows over time, the funnel, and the times to finish."""
        chosen = self._window(request, default="24h")
        found = business(chosen)
        strips = charts.strips(found)
        context = {
            "mw_business": found,
            "mw_per": _BARS[found.window.bar],
            "mw_strips": strips,
            "mw_ends": [
                charts.at_text(found.times[0], found),
                charts.at_text(found.times[-1], found),
            ],
            "mw_rows": charts.table(found),
            "mw_funnel": charts.funnel(found.funnel, of=found.looked_at),
            "mw_durations": charts.durations(found.durations),
        }
        return self._page(request, "business", chosen, context)

    def _window(self, request: HttpRequest, default: str = "1h") -> Window:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = times.aware(times.now())
        return window(request.GET.get("window", ""), now=now, default=default)

    def _page(
        self, request: HttpRequest, name: str, chosen: Window, context: Mapping[str, Any]
    ) -> HttpResponse:
        frame = {
            "title": _TITLES[name],
            "mw_page": name,
            "mw_window": chosen,
            "mw_windows": [(key, label) for key, (label, _) in SPANS.items()],
            "mw_flows_url": links.flows(),
        }
        return self.framed(request, f"{_FOLDER}/{name}.html", {**frame, **context})


naming.name(Context, _("context"), _("contexts"))


def _map(request: HttpRequest, chosen: Window) -> dict[str, Any]:
    """Return the context of the map's templates."""
    found = graph.graph(chosen)
    return {
        "mw_window": chosen,
        "mw_graph": found,
        "mw_picture": picture.of_graph(found),
        "mw_contexts": [
            {
                "is": each,
                "worker": picture.life("worker", each.worker)[0],
                "relay": picture.life("relay", each.relay)[0],
                "depth": words.number(each.depth),
                "pending": words.number(each.pending),
                "oldest": _age(each.oldest_at, chosen),
                "failing": words.number(each.failing),
                "parked": words.number(each.parked),
                "dead": words.number(each.dead),
                "parked_url": links.owner(request, each, "inboxevent", status="parked", context=each.context),
                "failing_url": links.owner(
                    request, each, "inboxevent", status="waiting", context=each.context
                ),
                "pending_url": links.owner(
                    request, each, "outboxevent", status="pending", context=each.context
                ),
                "dead_url": links.owner(request, each, "deadletter", context=each.context),
            }
            for each in found.contexts.values()
        ],
        "mw_announcements": [
            {
                "is": each,
                "name": event_name(each.type),
                "rate": words.rate(each.relayed, chosen.minutes),
                "relayed": words.number(each.relayed),
            }
            for each in found.announcements
        ],
        "mw_hearings": [_hearing(request, each, found) for each in found.hearings],
    }


def _hearing(request: HttpRequest, each: graph.Hearing, found: graph.Graph) -> dict[str, Any]:
    owner = found.contexts.get(each.consumer.partition(".")[0])
    wait = each.waiting
    return {
        "is": each,
        "name": event_name(each.type),
        "rate": words.rate(each.handled, found.window.minutes),
        "handled": words.number(each.handled),
        "p50": "–" if each.handled == 0 else words.seconds(each.p50),
        "p95": "–" if each.handled == 0 else words.seconds(each.p95),
        "failed": words.number(each.failed),
        "waiting": words.number(wait.flows, more=wait.more),
        "oldest": _age(wait.since, found.window),
        "parked": words.number(wait.parked),
        "flows_url": links.flows(waiting_for=each.consumer),
        "parked_url": owner
        and links.owner(request, owner, "inboxevent", status="parked", context=owner.context, type=each.type),
    }


def _age(since: Any, chosen: Window) -> str:
    return "" if since is None else words.seconds((chosen.until - times.aware(since)).total_seconds())
