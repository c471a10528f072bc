"""The contexts on the admin's first page, from the journal: of every service, each number a link to what it counts."""

from datetime import datetime

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import times
from microworkflows.admin import badges, contexts
from microworkflows.admin.contexts import Cell, Row, Table
from microworkflows.journal import alarms, presence, silence, words
from microworkflows.journal.admin import links
from microworkflows.journal.models import Context
from microworkflows.journal.presence import Life, Presence, Seen

COLUMNS = (
    _("worker"),
    _("relay"),
    _("in the queue"),
    _("to relay"),
    _("oldest"),
    _("failing"),
    _("parked"),
    _("dead letters"),
    _("overdue"),
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
    return Table(columns=tuple(map(str, COLUMNS)), rows=rows, note=note) if rows else None


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
        contexts.number(
            of.depth, tone=badges.BUSY, url=queue, title=gettext("Messages that wait for the worker")
        ),
        contexts.number(of.pending, tone=badges.BUSY, url=outbox["pending"], title=counted),
        _oldest(of, outbox["pending"], now),
        contexts.number(of.failing, tone=badges.BUSY, url=inbox["waiting"], title=counted),
        contexts.number(of.parked, tone=badges.BAD, url=inbox["parked"], title=counted),
        contexts.number(of.dead, tone=badges.BAD, url=dead, title=counted),
        contexts.number(
            overdue,
            tone=badges.BAD,
            url=overdue_url(of.context),
            title=gettext("Flows that wait for it too long"),
        ),
    )
    return Row(context=of.context, cells=cells)


def _counted(of: Presence, now: datetime) -> str:
    if of.tallied_at is None:
        return gettext("Its relay has never told how many")
    return gettext("Told last at %(time)s by its relay; what is older than %(seconds)s s is unknown") % {
        "time": words.clock(of.tallied_at, now),
        "seconds": presence.TALLY_HOLDS_FOR.seconds,
    }


def _oldest(of: Presence, url: str, now: datetime) -> Cell:
    if of.pending is None:
        return contexts.unknown(url=url)
    if of.oldest_at is None:
        return Cell(text="–", title=gettext("Nothing is to be relayed"), url=url)
    return Cell(text=contexts.since(of.oldest_at, now=now), tone=badges.BUSY, url=url)


def _life(of: Presence, seen: Seen, what: str, now: datetime) -> Cell:
    url = _map_url(of)
    if seen.since is None:
        title = (
            gettext("The journal has never heard of a worker of it")
            if what == "worker"
            else gettext("The journal has never heard of a relay of it")
        )
        return contexts.unknown(title=title, url=url)
    names = ", ".join(seen.names)
    told = {
        "time": words.clock(seen.since, now),
        "names": names,
        "command": f"celery -A project worker -Q {of.context}",
    }
    if seen.life is Life.UNKNOWN:
        title = gettext("The journal has heard from nobody since %(time)s, also not from %(names)s") % told
        return contexts.unknown(title=title, url=url)
    if seen.life is Life.ALIVE:
        text = gettext("alive since %(time)s") % told
        return Cell(text=text, tone=badges.GOOD, title=names, url=url)
    stopped = seen.life is Life.STOPPED
    text = gettext("stopped since %(time)s") if stopped else gettext("silent since %(time)s")
    title = gettext("The last was %(names)s. Start it: %(command)s") % told
    return Cell(text=text % told, tone=badges.BAD, title=title, url=url)


def _relay(of: Presence, now: datetime) -> Cell:
    if of.relay.life is not Life.ALIVE or of.relay.leads:
        return _life(of, of.relay, "relay", now)
    if of.relay.leads is None:
        return contexts.unknown(
            title=gettext("It lives, and has not told whether it leads"), url=_map_url(of)
        )
    said = gettext("It lives, and does not lead: nothing is relayed")
    return Cell(text=gettext("does not lead"), tone=badges.BAD, title=said, url=_map_url(of))


def _map_url(of: Presence) -> str:
    if not admin.site.is_registered(Context):
        return reverse("admin:microworkflows_journal_alarm_changelist")
    return f"{reverse('admin:microworkflows_journal_context_changelist')}#in:{of.context}"


contexts.fill(table)
