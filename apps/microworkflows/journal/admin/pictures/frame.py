"""What the pictures share: the person who looks, texts, links to the owners' pages, and putting SVG together quickly.

A journey may have thousands of rows, so the pictures are put together as text; everything that comes from a row passes
:func:`text` first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from html import escape
from urllib.parse import quote

from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from microworkflows import registry, words
from microworkflows.journal.bars import Act
from microworkflows.journal.expectations import Cause, Expectation
from microworkflows.journal.journeys import Delivery, Event, Journey
from microworkflows.journeys import human_duration
from microworkflows.texts import line

SIGNS: Mapping[str, str] = {
    "handled": "✓",
    "running": "▶",
    "waiting": "↻",
    "expected": "…",
    "parked": "✕",
    "missed": "✕",
    "dismissed": "–",
    "pending": "…",
    "unheard": "✕",
    "rejected": "✕",
}
"""Signs of statuses, so that nobody need tell them by colour."""


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """The person who looks: what they may see, when, and in which admin."""

    now: datetime
    sees_outbox: bool = False
    sees_inbox: bool = False
    sees_comparisons: bool = False
    sees_admin: bool = True
    """False where there is no admin that the person may enter: then nothing links to one."""
    site: str = "admin"
    local: frozenset[str] = field(default_factory=lambda: frozenset(registry.contexts()))
    """Contexts whose rows are in this service's own admin."""

    def error(self, text: str) -> str:
        """Return the first line of an error, for those who may see it."""
        first = text.strip().partition("\n")[0]
        return line(first, longest=160, translated=True) if self.sees_inbox else ""

    def reason(self, expected: Expectation) -> str:
        """Return what stands in the way, with the error for those who may see it: the broker's in the outbox, others in the inbox."""
        sees = self.sees_outbox if expected.cause is Cause.REJECTED else self.sees_inbox
        return expected.full_reason if sees else expected.reason

    def payload(self, journey: Journey, event: Event) -> str:
        """Return the address of the owner's page of an event, which masks what is sensitive; empty if there is none."""
        if event.context in self.local and not self.sees_outbox:
            return ""
        base = self._admin(journey, event.context)
        return f"{base}microworkflows/outboxevent/{quote(str(event.id))}/change/" if base else ""

    def message(self, journey: Journey, event_id: object, context: str) -> str:
        """Return the address of the owner's list of an event's messages, where they can be replayed; empty if there is none."""
        if context in self.local and not self.sees_inbox:
            return ""
        base = self._admin(journey, context)
        return f"{base}microworkflows/inboxevent/?q={quote(str(event_id))}" if base else ""

    def comparison(self, journey: Journey) -> str:
        """Return the address of the flow's shadow comparisons; empty for those who may not see them, and without the cut-over."""
        if not (self.sees_admin and self.sees_comparisons):
            return ""
        try:
            url = reverse("admin:microworkflows_cutover_shadowcomparison_changelist", current_app=self.site)
        except NoReverseMatch:
            return ""
        return f"{url}?q={quote(journey.correlation_id)}"

    @cached_property
    def _home(self) -> str:
        return reverse("admin:index", current_app=self.site)

    def _admin(self, journey: Journey, context: str) -> str:
        if not self.sees_admin:
            return ""
        if context in self.local:
            return self._home
        known = journey.contexts.get(context)
        url = known.admin_url if known else ""
        if not url.startswith(("http://", "https://", "/")):
            return ""  # whatever another service says, no link runs a script
        return url if url.endswith("/") else f"{url}/"


def text(value: object) -> str:
    """Return a text from a row, safe in HTML and SVG."""
    return escape(line(value, translated=True))


def link(url: str, shown: str) -> str:
    """Return escaped text as a link where there is an address."""
    return f'<a href="{escape(url)}">{shown}</a>' if url else shown


def joined(parts: Iterable[str]) -> SafeString:
    """Return parts, whose every variable text has been escaped, as one safe text."""
    return SafeString("".join(parts))


def took(delivery: Delivery) -> timedelta | None:
    """Return the time from an event's recording to the end of a delivery; None if it has not ended."""
    if not delivery.bars or delivery.handled_at is None:
        return None
    return delivery.handled_at - delivery.bars[0].began_at


def state_of(delivery: Delivery) -> str:
    """Return sign, status and time of a delivery for people, escaped."""
    said = f"{SIGNS.get(delivery.status, '')} {words.shown(delivery.status)}"
    if (time := took(delivery)) is not None:
        said += f" {human_duration(time)}"
    return text(said)


def circumstances(delivery: Delivery) -> str:
    """Return how a delivery came about, for people: the number of its attempts, and who did the step; escaped."""
    said = [_("on attempt %(number)s") % {"number": delivery.attempts}] if delivery.attempts > 1 else []
    said += [words.shown(delivery.mode)] if delivery.mode else []
    return text(", ".join(said))


def status_of(event: Event) -> str:
    """Return an event's status in brackets, after its name; empty if it is relayed, as far as is known; escaped."""
    return "" if event.status in ("relayed", "untold") else f" ({text(words.shown(event.status))})"


def said_of(act: Act, *, when: str = "") -> str:
    """Return who replayed or dismissed a message, and why; escaped."""
    who = _("replayed by %(by)s") if act.what == "replayed" else _("dismissed by %(by)s")
    by = act.by or _("somebody")
    said = who % {"by": f"{by} {when}" if when else by}
    return text(f"{said}: {act.why}" if act.why else said)


def description(journey: Journey, label: str) -> str:
    """Return the label of a picture, such as ``Time line of %(title)s``, with more about the flow; escaped."""
    state, more = words.shown(journey.state), _("The table says the same in words.")
    return text(f"{label % {'title': journey.title}}: {number_of_events(journey)}, {state}. {more}")


def number_of_events(journey: Journey) -> str:
    """Return the number of a journey's events, for people."""
    number = len(journey.events)
    return ngettext("%(number)s event", "%(number)s events", number) % {"number": number}
