"""The journey of a flow on any page: of Django's admin, or of a back office of one's own, as HTML that keeps up to date or as JSON.

A view decides who may see the object that the flow is about, and answers with :func:`journey_response`; a template shows the
journey with ``{% load microworkflows %}{% journey order url=… %}``, and the page keeps it up to date from that view.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.html import format_html
from django.utils.http import quote_etag, urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from microworkflows import accounts, holds, journeys, overviews
from microworkflows.models import Hold

HTML, JSON = "text/html", "application/json"


@require_safe
def journey_response(
    request: HttpRequest, about: Model | str, *, headline: SafeString | str = ""
) -> HttpResponseBase:
    """Answer with the journey of the newest flow about an object, for a view that has decided that the user may see it.

    A client that prefers JSON by its ``Accept`` header, or asks with ``?format=json``, gets what ``manage.py journey --format
    json`` prints: state, events, deliveries, and what is still expected; 404 while no flow is known. Any other gets the fragment
    that ``{% journey %}`` asks for. Either has an ETag, and 304 if the client already has it.

    As in the admin, errors are left out for users without the permission ``microworkflows.view_inboxevent``, and payloads and what
    the broker said without ``microworkflows.view_outboxevent``. A request without a user, as in a project without
    ``django.contrib.auth``, sees neither.

    Args:
        request: The request.
        about: What the flow is about, as it was given to ``record(about=…)``, or the flow's correlation id.
        headline: Headline above the journey, such as the object's state.
    """
    if _wants_json(request):
        response = _json(request, flow_of(about))
    else:
        context = journey_context(request, flow_of(about), headline=format_html("{}", headline))
        response = fragment(request, context)
    patch_vary_headers(response, ["Accept"])
    return response


def flow_of(about: Model | str) -> str:
    """Return the correlation id of the newest flow about an object; without one, its primary key, under which one may begin."""
    return about if isinstance(about, str) else journeys.flow_about(about) or str(about.pk)


def journey_context(
    request: HttpRequest, correlation_id: str | None, *, headline: SafeString
) -> dict[str, Any]:
    """Return the context for the templates of the journey: the picture across services where a guest has one, else this database's.

    Users who may see the flow's object see its steps and their states. Payloads and the broker's errors are for users
    who may see the outbox, errors of microworkflows for those who may see the inbox. Links lead into the admin where the project has one
    and the user may enter it.
    """
    known = overviews.overview
    picture = None if correlation_id is None else known.picture(request, correlation_id)
    journey = journeys.Journey(correlation_id=correlation_id or "", steps=())
    if picture is None and correlation_id is not None:
        journey = journeys.journey(correlation_id)
    pauses = () if correlation_id is None else _pauses(correlation_id, journey, picture)
    return {
        "mw_picture": picture,
        "mw_css": known.css,
        "mw_journey": journey,
        "mw_absences": journeys.absences(journey),
        "mw_timers": () if picture is None or correlation_id is None else journeys.timers(correlation_id),
        "mw_headline": headline,
        "mw_pauses": pauses,
        "mw_is_paused": journeys.is_paused(journey, pauses),
        "mw_see_pauses": _sees_pauses(request),
        "mw_pause_url": pause_url(request, pauses, flow=correlation_id) if correlation_id else "",
        "mw_see_outbox": may(request, "view_outboxevent"),
        "mw_see_inbox": may(request, "view_inboxevent"),
        "mw_see_admin": sees_admin(request),
    }


def may(request: HttpRequest, permission: str) -> bool:
    """Return True if the request's user has a permission of the kit's models; False without a user."""
    user = getattr(request, "user", None)
    return user is not None and user.has_perm(f"microworkflows.{permission}")


def _sees_pauses(request: HttpRequest) -> bool:
    """Return True if the request's user may see who paused something, and why."""
    return may(request, "view_hold") or may(request, "view_inboxevent")


def may_pause(request: HttpRequest) -> bool:
    """Return True if the request's user may pause and resume."""
    return may(request, "pause_hold")


def pause_url(
    request: HttpRequest, pauses: Collection[Hold] = (), *, site: str = "admin", **what: str
) -> str:
    """Return the address of the admin's form that pauses something; empty for those who may not, or if it is paused.

    Args:
        request: The request.
        pauses: The holds in force that are about it.
        site: Name of the admin's site.
        what: ``what``, the label of a context or a microworkflow, or ``flow``, a correlation id.
    """
    if not (sees_admin(request) and may_pause(request)) or any(hold.name in what.values() for hold in pauses):
        return ""
    try:
        return f"{reverse('admin:microworkflows_hold_add', current_app=site)}?{urlencode(what)}"
    except NoReverseMatch:  # a site of the project's own, without this page
        return ""


def sees_journeys(request: HttpRequest) -> bool:
    """Return True if the request's user may open the page of any flow's journey."""
    return may(request, "view_outboxevent") or overviews.overview.may_see(request)


def sees_admin(request: HttpRequest) -> bool:
    """Return True if a link into Django's admin helps the request's user."""
    user = getattr(request, "user", None)
    return apps.is_installed("django.contrib.admin") and user is not None and user.is_active and user.is_staff


def fragment_url(request: HttpRequest, url: str) -> str:
    """Return the address of a journey's fragment, in the view that the page shows."""
    view = request.GET.get("view", "")
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'view': view})}" if view else url


def fragment(request: HttpRequest, context: Mapping[str, Any]) -> HttpResponseBase:
    """Return the parts of the journey that change, with an ETag; 304 if the client already has them."""
    return polled(request, "microworkflows/journey_fragment.html", context)


@require_safe
def polled(request: HttpRequest, template: str, context: Mapping[str, Any]) -> HttpResponseBase:
    """Return the parts of a page that change, with an ETag; 304 if the client already has them."""
    return _unless_known(request, HttpResponse(render_to_string(template, {**context}, request)))


def _pauses(
    correlation_id: str, journey: journeys.Journey, picture: overviews.Picture | None
) -> Collection[Hold]:
    """Return the holds that keep a flow or what it waits for back; a picture does not tell for what, and this database does."""
    found = holds.in_force()
    if picture is not None and not picture.ended and any(hold.kind != Hold.Kind.FLOW for hold in found):
        journey = journeys.journey(correlation_id)
    return journeys.pauses(correlation_id, journey, found)


def _wants_json(request: HttpRequest) -> bool:
    wanted = request.GET.get("format")
    return wanted == "json" if wanted else request.get_preferred_type([HTML, JSON]) == JSON


def _json(request: HttpRequest, term: str) -> HttpResponseBase:
    account = accounts.account(term)
    if account is None:
        said = "No event of this flow is known here yet: it has not begun, or was purged."
        return JsonResponse({"error": said}, status=404)
    plain = account.plain
    if not may(request, "view_inboxevent"):
        plain = accounts.without(plain, {"error"})
    if not _sees_pauses(request) and "pauses" in plain:
        plain = {**plain, "pauses": accounts.without(plain["pauses"], {"by", "why"})}
    return _unless_known(request, JsonResponse(plain))


def _unless_known(request: HttpRequest, response: HttpResponse) -> HttpResponseBase:
    etag = quote_etag(hashlib.sha256(response.content).hexdigest()[:32])
    answer = get_conditional_response(request, etag=etag, response=response)
    assert answer is not None  # it is given a response, so it returns one
    answer.headers["ETag"] = etag
    return answer
