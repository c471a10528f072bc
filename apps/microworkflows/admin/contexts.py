"""Contexts on the first page: a row for each, with what is known of its worker, and of whatever waits there.

This database's heartbeats tell whether a worker lives. A guest that knows more of them, in every service, fills the table instead.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from microworkflows import flows, heartbeats, holds, times, topology
from microworkflows.admin import badges
from microworkflows.cloudevents import context_of
from microworkflows.heartbeats import Seen
from microworkflows.models import Hold

_MOST_PAUSES = 3
"""Pauses of a context that its row names."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a row says in one column."""

    text: str
    tone: str = ""
    """Tone of its badge; empty: it is plain."""
    url: str = ""
    """Address of the rows that it counts, or of more about it; empty: there is none."""
    title: str = ""
    """More about it, for whoever points at it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of one context."""

    context: str
    cells: tuple[Cell, ...]
    pauses: tuple[Cell, ...] = ()
    """What is paused of it, since when and by whom."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What is known of all contexts."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    """What holds for all rows; it may be empty."""


Source = Callable[[HttpRequest], Table | None]
"""Returns the table for a user; None if this user may not see it, or nobody knows more than this database."""

_sources: list[Source] = []


def fill(source: Source) -> None:
    """Let a guest fill the table from now on."""
    _sources[:] = [source]


def table(request: HttpRequest) -> Table | None:
    """Return the table that a user sees, with what is paused; None if this user sees none."""
    for source in _sources:
        if (found := source(request)) is not None:
            return _with_pauses(found, request)
    user = request.user
    if not (
        user.has_perm("microworkflows.view_inboxevent") or user.has_perm("microworkflows.view_outboxevent")
    ):
        return None
    seen, elsewhere = heartbeats.last_seen(), flows.router.contexts_elsewhere()
    url = (
        reverse("admin:microworkflows_inboxevent_changelist")
        if user.has_perm("microworkflows.view_inboxevent")
        else ""
    )
    rows = (
        _row(
            queue,
            seen.get(queue),
            is_elsewhere=queue in elsewhere,
            url=url and f"{url}?{urlencode({'context': queue})}",
        )
        for queue in topology.queues()
    )
    return _with_pauses(
        Table(columns=(_("worker"), _("in the queue"), _("in hand")), rows=tuple(rows)), request
    )


def number(value: int | None, *, tone: str = "", url: str = "", title: str = "") -> Cell:
    """Return the cell of a number, with its tone unless it is 0; unknown if it is None."""
    if value is None:
        return unknown(title=title, url=url)
    return Cell(text=f"{value:,}", tone=tone if value else "", url=url, title=title)


def unknown(*, title: str = "", url: str = "") -> Cell:
    """Return the cell of what nobody knows."""
    return Cell(text=_("unknown"), tone=badges.IDLE, url=url, title=title)


def since(time: datetime, *, now: datetime | None = None) -> str:
    """Return since when something is so: the local time of day, with the date if that is not today's."""
    local, today = times.local(time), times.local(now or times.now()).date()
    shown = f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
    return _("since %(time)s") % {"time": shown}


def _with_pauses(table: Table, request: HttpRequest) -> Table:
    found: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds.in_force():
        if hold.kind != Hold.Kind.FLOW:
            found[context_of(hold.name)].append(hold)
    if not found:
        return table
    rows = (replace(row, pauses=_pauses(found[row.context], request)) for row in table.rows)
    return replace(table, rows=tuple(rows))


def _pauses(found: Sequence[Hold], request: HttpRequest) -> tuple[Cell, ...]:
    """Return a line for each pause of a context or its microworkflows, and one for those that are too many."""
    may_see = request.user.has_perm("microworkflows.view_hold")
    tells = may_see or request.user.has_perm("microworkflows.view_inboxevent")
    url = _pauses_url() if may_see else ""
    cells = [
        Cell(
            text=(f"{hold.name.partition('.')[2]} " if hold.kind == Hold.Kind.MICROWORKFLOW else "")
            + _begun(hold, tells=tells),
            url=url,
            title=hold.why if tells else "",
        )
        for hold in sorted(found, key=lambda hold: hold.kind)[:_MOST_PAUSES]
    ]
    if more := len(found) - len(cells):
        said = ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more}
        cells.append(Cell(text=said, url=url))
    return tuple(cells)


def _begun(hold: Hold, *, tells: bool) -> str:
    said = since(times.aware(hold.began_at))
    return _("%(since)s by %(name)s") % {"since": said, "name": hold.paused_by} if tells else said


def _pauses_url() -> str:
    with suppress(NoReverseMatch):  # a site of the project's own, without this page
        return f"{reverse('admin:microworkflows_hold_changelist')}?state=paused"
    return ""


def _row(queue: str, seen: Seen | None, *, is_elsewhere: bool, url: str) -> Row:
    alive = seen is not None and seen.is_alive
    depth, handling = (seen.depth, seen.handling) if seen is not None and alive else (None, None)
    cells = (
        _worker(queue, seen, is_elsewhere=is_elsewhere),
        number(depth, tone=badges.BUSY, url=url, title=_("Messages that wait; those handled are listed")),
        number(handling, url=url, title=_("Messages in the hands of the worker's processes")),
    )
    return Row(context=queue, cells=cells)


def _worker(queue: str, seen: Seen | None, *, is_elsewhere: bool) -> Cell:
    start = _("Start it: %(command)s") % {"command": f"celery -A project worker -Q {queue}"}
    if seen is None:
        said = (
            _("Its messages are in another database: its worker is to be looked for there")
            if is_elsewhere
            else _("Its messages are in this database: none has ever been seen here. %(start)s")
            % {"start": start}
        )
        return unknown(title=said)
    if seen.is_alive:
        said = _("alive %(since)s") % {"since": since(seen.process.started_at)}
        return Cell(text=said, tone=badges.GOOD, title=seen.process.worker)
    if seen.stopped_at is not None:
        said = _("stopped %(since)s") % {"since": since(seen.stopped_at)}
        return Cell(text=said, tone=badges.BAD, title=start)
    why = _("%(worker)s was killed, is stuck, or cannot reach the broker or the database. %(start)s") % {
        "worker": seen.process.worker,
        "start": start,
    }
    return Cell(text=_("silent %(since)s") % {"since": since(seen.at)}, tone=badges.BAD, title=why)
