"""The journey for any page; badges, times and counts for the kit's own: ``{% load microworkflows %}``."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.http import HttpRequest
from django.template.defaultfilters import date
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from microworkflows import flows, journeys, pages, times, words
from microworkflows.admin import badges, contexts, counts, texts

register = template.Library()


@register.inclusion_tag("microworkflows/journey.html", takes_context=True)
def journey(context: template.Context, about: Any, *, url: str = "") -> dict[str, Any]:
    """Render the journey of the newest flow about an object, or of a correlation id, on a page of one's own.

    With ``url``, the address of a view that answers with :func:`~microworkflows.pages.journey_response`, the page keeps it up to date
    until the flow has ended. The page includes ``{% journey_media %}`` once.
    """
    request = context["request"]
    found = pages.journey_context(request, pages.flow_of(about), headline=SafeString())
    return {**found, "request": request, "mw_fragment_url": pages.fragment_url(request, url) if url else ""}


@register.simple_tag
def journey_media() -> SafeString:
    """Render the stylesheets and the script of the journey, for the head of a page."""
    styles = format_html_join(
        "\n",
        '<link rel="stylesheet" href="{}">',
        ((static(f"microworkflows/{name}.css"),) for name in ("page", "admin")),
    )
    return format_html('{}\n<script src="{}" defer></script>', styles, static("microworkflows/journey.js"))


@register.simple_tag
def mw_badge(text: str, tone: str | None = None) -> SafeString:
    """Render a badge; a status of this kit knows its tone."""
    return badges.badge(text, tone=tone)


@register.simple_tag(takes_context=True)
def mw_mode(context: template.Context, mode: str, correlation_id: str) -> SafeString:
    """Render a context's part in a flow as a badge, which leads to more about it where the user may see that."""
    request: HttpRequest | None = context.get("request")
    url = ""
    if request is not None and pages.sees_admin(request):
        url = flows.router.page_about(mode, correlation_id, request.user)
    return format_html('<a href="{}">{}</a>', url, badges.badge(mode)) if url else badges.badge(mode)


@register.simple_tag(takes_context=True)
def mw_is_held(context: template.Context, delivery: journeys.Delivery) -> bool:
    """Return True if a pause keeps a delivery of the page's journey back."""
    flow = context["mw_journey"].correlation_id
    return delivery.open and any(
        hold.holds(delivery.label, flow=flow) for hold in context.get("mw_pauses") or ()
    )


@register.simple_tag(takes_context=True)
def mw_contexts(context: template.Context) -> contexts.Table | None:
    """Return what is known of each context, as far as the user of the page may see it."""
    return contexts.table(context["request"])


@register.simple_tag
def mw_counts() -> list[counts.Count]:
    """Return the numbers of pending, unheard, waiting and parked messages."""
    return counts.counts()


@register.simple_tag
def mw_dead_letters() -> counts.Count:
    """Return the number of dead letters, which the broker is asked for."""
    return counts.dead_letters()


@register.simple_tag
def mw_left_behind() -> counts.Count | None:
    """Return the number of messages in queues that no installed app declares; None if there is no such queue."""
    return counts.left_behind()


@register.simple_tag
def mw_paused() -> counts.Count:
    """Return the number of contexts, microworkflows and flows that are paused."""
    return counts.paused()


@register.simple_tag
def mw_unreceived() -> counts.Count:
    """Return the number of deliveries that did not arrive."""
    return counts.unreceived_events()


@register.filter
def mw_tone(subject: journeys.Journey | journeys.Step) -> str:
    """Return the tone of a journey or of one of its steps."""
    if subject.failed:
        return badges.BAD
    if subject.open:
        return badges.BUSY
    begun = subject.steps if isinstance(subject, journeys.Journey) else subject.deliveries
    return badges.GOOD if begun and not subject.unknown and not subject.dismissed else badges.IDLE


@register.filter
def mw_duration(duration: timedelta | None) -> str:
    """Return a duration for people, such as ``21 ms``."""
    return "" if duration is None else journeys.human_duration(duration)


@register.filter
def mw_seconds(seconds: float | None) -> str:
    """Return a duration given in seconds, for people; empty if it is unknown."""
    return "" if seconds is None else journeys.human_duration(timedelta(seconds=seconds))


@register.filter
def mw_time(time: datetime) -> str:
    """Return the local time of day with milliseconds, such as ``14:03:22.417``."""
    return texts.local_time(time)


@register.filter
def mw_when(time: datetime) -> str:
    """Return the local date and time with its zone, such as ``2025-11-23 14:03 CET``."""
    return times.shown(time)


@register.filter(expects_localtime=True)
def mw_moment(time: datetime) -> SafeString:
    """Return what :func:`mw_when` does, as an HTML element."""
    return format_html('<time datetime="{}">{}</time>', date(time, "c"), times.shown(time))


@register.filter(expects_localtime=True)
def mw_due(time: datetime) -> SafeString:
    """Return what :func:`mw_time` does, as an HTML element beside which the page counts down."""
    return format_html('<time datetime="{}" data-mw-until>{}</time>', date(time, "c"), texts.local_time(time))


@register.filter
def mw_word(word: str) -> str:
    """Return the word that people read for a status or a kind of this kit."""
    return words.shown(word)


@register.filter
def mw_json(value: Any) -> str:
    """Return a JSON value for people to read."""
    return texts.pretty_json(value)
