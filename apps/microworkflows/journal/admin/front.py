"""The contexts on the admin's first page, from the journal: of every service, each number a link to what it counts."""

from datetime import datetime

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from microworkflows import times
from microworkflows.admin import badges, contexts
from microworkflows.admin.contexts import Cell, Row, Table
from microworkflows.journal import alarms, presence, silence
from microworkflows.journal.admin import links
from microworkflows.journal.models import Context
from microworkflows.journal.presence import Life, Presence, Seen

COLUMNS = (
    "worker",
    "relay",
    "in the queue",
    "to relay",
    "oldest",
    "failing",
    "parked",
    "dead letters",
    "overdue",
)


def table(request: HttpRequest) -> Table | None:
    """Return what the journal knows of each context; None for a user who may not see flows, and while it knows of none."""
    if not request.user.has_perm("microworkflows_journal.view_flow"):
        return None
    now = times.aware(times.now())
    overdue, heard_at = alarms.flows_by_owner(), presence.last_heard()
    # While the journal hears from nobody, no deadline is judged.
    note = silence.sentence(heard_at, now=now)
    none = None if note else 0
    rows = tuple(
        _row(request, each, overdue.get(each.context, none), now)
        for each in presence.presences(now=now, flows=False)
    )
    return Table(columns=COLUMNS, rows=rows, note=note) if rows else None


def overdue_url(context: str) -> str:
    """Return the address of the open alarms of a context."""
    where = reverse("admin:microworkflows_journal_alarm_changelist")
    return f"{where}?{urlencode({'state': 'open', 'owner': context})}"


def _row(request: HttpRequest, of: Presence, overdue: int | None, now: datetime) -> Row:
    counted = _counted(of, now)
    inbox, outbox = (
        {status: links.owner(request, of, model, context=of.context, status=status) for status in statuses}
        for model, statuses in (("inboxevent", ("waiting", "parked")), ("outboxevent", ("pending",)))
    )
    dead = links.owner(request, of, "deadletter", context=of.context)
    queue = links.owner(request, of, "inboxevent", context=of.context)
    cells = (
        _life(of, of.worker, "worker", now),
        _relay(of, now),
        contexts.number(of.depth, tone=badges.BUSY, url=queue, title="Messages that wait for the worker"),
        contexts.number(of.pending, tone=badges.BUSY, url=outbox["pending"], title=counted),
        _oldest(of, outbox["pending"], now),
        contexts.number(of.failing, tone=badges.BUSY, url=inbox["waiting"], title=counted),
        contexts.number(of.parked, tone=badges.BAD, url=inbox["parked"], title=counted),
        contexts.number(of.dead, tone=badges.BAD, url=dead, title=counted),
        contexts.number(
            overdue, tone=badges.BAD, url=overdue_url(of.context), title="Flows that wait for it too long"
        ),
    )
    return Row(context=of.context, cells=cells)


def _counted(of: Presence, now: datetime) -> str:
    if of.tallied_at is None:
        return "Its relay has never told how many"
    when = contexts.since(of.tallied_at, now=now).removeprefix("since ")
    return f"Told last at {when} by its relay; what is older than {presence.TALLY_HOLDS_FOR.seconds} s is unknown"


def _oldest(of: Presence, url: str, now: datetime) -> Cell:
    if of.pending is None:
        return contexts.unknown(url=url)
    if of.oldest_at is None:
        return Cell(text="–", title="Nothing is to be relayed", url=url)
    return Cell(text=contexts.since(of.oldest_at, now=now), tone=badges.BUSY, url=url)


def _life(of: Presence, seen: Seen, what: str, now: datetime) -> Cell:
    url = _map_url(of)
    start = f"Start it: celery -A project worker -Q {of.context}"
    if seen.since is None:
        return contexts.unknown(title=f"The journal has never heard of a {what} of it", url=url)
    when = contexts.since(seen.since, now=now)
    names = ", ".join(seen.names)
    if seen.life is Life.UNKNOWN:
        return contexts.unknown(
            title=f"The journal has heard from nobody {when}, also not from {names}", url=url
        )
    if seen.life is Life.ALIVE:
        return Cell(text=f"alive {when}", tone=badges.GOOD, title=names, url=url)
    return Cell(text=f"{seen.life} {when}", tone=badges.BAD, title=f"The last was {names}. {start}", url=url)


def _relay(of: Presence, now: datetime) -> Cell:
    if of.relay.life is not Life.ALIVE or of.relay.leads:
        return _life(of, of.relay, "relay", now)
    if of.relay.leads is None:
        return contexts.unknown(title="It lives, and has not told whether it leads", url=_map_url(of))
    said = "It lives, and does not lead: nothing is relayed"
    return Cell(text="does not lead", tone=badges.BAD, title=said, url=_map_url(of))


def _map_url(of: Presence) -> str:
    if not admin.site.is_registered(Context):
        return reverse("admin:microworkflows_journal_alarm_changelist")
    return f"{reverse('admin:microworkflows_journal_context_changelist')}#in:{of.context}"


contexts.fill(table)
