"""A journey on a page: state and reason in one line, then what is still expected, then one of the four views."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from microworkflows import pages, times
from microworkflows.admin.badges import badge
from microworkflows.journal import silence
from microworkflows.journal.admin.pictures import sequence, table, timeline, tree
from microworkflows.journal.admin.pictures.frame import Viewer
from microworkflows.journal.flows import TONES
from microworkflows.journal.journeys import Journey
from microworkflows.journeys import human_duration
from microworkflows.overviews import Picture

VIEWS: Mapping[str, tuple[str, Callable[[Journey, Viewer], SafeString]]] = {
    "timeline": ("Time line", timeline.draw),
    "tree": ("Causation", tree.draw),
    "sequence": ("Sequence", sequence.draw),
    "table": ("Table", table.draw),
}
"""The views by their word in the address, with a name for people."""

_MOST_EXPECTED = 20


def picture(request: HttpRequest, journey: Journey) -> Picture:
    """Return a journey as a person sees it, in the view that the address names."""
    user = getattr(request, "user", None)
    viewer = Viewer(
        now=times.now(),
        sees_outbox=pages.may(request, "view_outboxevent"),
        sees_inbox=pages.may(request, "view_inboxevent"),
        sees_comparisons=user is not None and user.has_perm("microworkflows_cutover.view_shadowcomparison"),
        sees_admin=pages.sees_admin(request),
        site=getattr(request, "current_app", None) or "admin",
    )
    chosen = request.GET.get("view", "")
    chosen = chosen if chosen in VIEWS else "timeline"
    context = {
        "journey": journey,
        "silence": ""
        if journey.ended
        else silence.sentence(silence.last_heard(journey.contexts.values()), now=viewer.now),
        "expected": [
            (
                each,
                viewer.reason(each),
                waited(each.since, viewer.now),
                viewer.message(journey, each.event_id, each.context) if each.event_id else "",
            )
            for each in journey.expected[:_MOST_EXPECTED]
        ],
        "more": max(len(journey.expected) - _MOST_EXPECTED, 0),
        "shifts": [
            (host, "ahead" if shift.total_seconds() < 0 else "behind", human_duration(abs(shift)))
            for host, shift in sorted(journey.shifts.items())
        ],
        "shadow": viewer.comparison(journey)
        if any(d.mode.startswith("shadow") for d in journey.deliveries)
        else "",
        "views": [(word, name, word == chosen) for word, (name, _) in VIEWS.items()],
        "view": VIEWS[chosen][1](journey, viewer),
    }
    body = render_to_string("admin/microworkflows_journal/journey.html", context)
    return Picture(title=journey.title, summary=summary(journey), body=body, ended=journey.ended)


def summary(journey: Journey) -> SafeString:
    """Return the state with its reason, and the numbers, in one line."""
    deliveries = list(journey.deliveries)
    handled = sum(each.status == "handled" for each in deliveries)
    return format_html(
        '{} <span>{}</span> <span class="mw-quiet">{} event{}, {} of {} deliver{} handled, in {}</span>',
        badge(journey.state, tone=TONES.get(journey.state)),
        reason(journey),
        len(journey.events),
        "" if len(journey.events) == 1 else "s",
        handled,
        len(deliveries),
        "y" if len(deliveries) == 1 else "ies",
        human_duration(journey.ended_at - journey.began_at),
    )


def reason(journey: Journey) -> str:
    """Return why a flow is in its state, in a few words."""
    if journey.state == "done":
        return f"ended as {journey.outcome}" if journey.outcome else "nothing declared can follow"
    if journey.expected:
        return f"waits for {journey.expected[0].what}"
    if journey.missing:
        return f"notices of {', '.join(journey.missing)} are missing"
    return "nobody has declared what follows" if journey.state == "unknown" else ""


def waited(since: datetime, now: datetime) -> str:
    """Return for how long something has been awaited, in whole minutes, so that the page seldom changes by itself."""
    minutes = int((now - since) / timedelta(minutes=1))
    if minutes < 1:
        return "under a minute"
    return f"{minutes} min" if minutes < 60 else human_duration(timedelta(minutes=minutes))
