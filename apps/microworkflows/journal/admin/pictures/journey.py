"""A journey on a page: state and reason in one line, then what is still expected, then one of the four views."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from microworkflows import pages, times, words
from microworkflows.admin.badges import badge
from microworkflows.journal import silence
from microworkflows.journal.admin.pictures import sequence, table, timeline, tree
from microworkflows.journal.admin.pictures.frame import Viewer, number_of_events
from microworkflows.journal.flows import TONES
from microworkflows.journal.journeys import Journey
from microworkflows.journeys import human_duration
from microworkflows.overviews import Picture

VIEWS: Mapping[str, tuple[Promise, Callable[[Journey, Viewer], SafeString]]] = {
    "timeline": (_("Time line"), timeline.draw),
    "tree": (_("Causation"), tree.draw),
    "sequence": (_("Sequence"), sequence.draw),
    "table": (_("Table"), table.draw),
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
                words.shown(each.cause),
                viewer.reason(each),
                waited(each.since, viewer.now),
                viewer.message(journey, each.event_id, each.context) if each.event_id else "",
            )
            for each in journey.expected[:_MOST_EXPECTED]
        ],
        "more": max(len(journey.expected) - _MOST_EXPECTED, 0),
        "shifts": [
            (
                gettext("%(host)s is %(time)s ahead")
                if shift.total_seconds() < 0
                else gettext("%(host)s is %(time)s behind")
            )
            % {"host": host, "time": human_duration(abs(shift))}
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
    numbers = gettext("%(events)s, %(deliveries)s, in %(time)s") % {
        "events": number_of_events(journey),
        "deliveries": ngettext(
            "%(handled)s of %(number)s delivery handled",
            "%(handled)s of %(number)s deliveries handled",
            len(deliveries),
        )
        % {"handled": handled, "number": len(deliveries)},
        "time": human_duration(journey.ended_at - journey.began_at),
    }
    return format_html(
        '{} <span>{}</span> <span class="mw-quiet">{}</span>',
        badge(journey.state, tone=TONES.get(journey.state)),
        reason(journey),
        numbers,
    )


def reason(journey: Journey) -> str:
    """Return why a flow is in its state, in a few words."""
    if journey.state == "done":
        if journey.outcome:
            return gettext("ended as %(outcome)s") % {"outcome": journey.outcome}
        return gettext("nothing declared can follow")
    if journey.expected:
        return gettext("waits for %(what)s") % {"what": journey.expected[0].what}
    if journey.missing:
        return gettext("notices of %(names)s are missing") % {"names": ", ".join(journey.missing)}
    return gettext("nobody has declared what follows") if journey.state == "unknown" else ""


def waited(since: datetime, now: datetime) -> str:
    """Return for how long something has been awaited, in whole minutes, so that the page seldom changes by itself."""
    minutes = int((now - since) / timedelta(minutes=1))
    if minutes < 1:
        return gettext("under a minute")
    return f"{minutes} min" if minutes < 60 else human_duration(timedelta(minutes=minutes))
