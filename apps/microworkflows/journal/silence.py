"""Silence: a sentence for each page while the journal hears from nobody, so that nobody takes what it knew for the present."""

from collections.abc import Iterable
from datetime import datetime

from django.utils.translation import gettext as _

from microworkflows import times
from microworkflows.journal import conf, presence, words
from microworkflows.journal.presence import Presence


def sentence(heard_at: datetime | None, *, now: datetime) -> str:
    """Return since when the journal has heard from nobody, and what to do; empty while it hears from somebody."""
    if heard_at is None:
        return " ".join((_("Nobody has told the journal anything yet."), _remedy()))
    if presence.hears(heard_at, times.aware(now)):
        return ""
    since = words.clock(heard_at, now)
    silent = _("The journal has heard from nobody since %(time)s, so it knows of nothing later.")
    return f"{silent % {'time': since}} {_remedy()}"


def last_heard(contexts: Iterable[Presence]) -> datetime | None:
    """Return when a worker or a relay of these contexts was heard last; None if none ever was."""
    seen = (part.seen_at for each in contexts for part in (each.worker, each.relay))
    return max((time for time in seen if time is not None), default=None)


def _remedy() -> str:
    collector = conf.current().journal_collector
    remedy = (
        _(
            "Notices pass through the broker to the collector, which works beside the relay of %(context)s: look whether both "
            "run. The collector by itself: %(command)s"
        )
        if collector
        else _(
            "Notices pass through the broker to the collector, which works beside a relay: look whether both run. The collector "
            "by itself: %(command)s"
        )
    )
    return remedy % {"context": collector, "command": "python manage.py journal_collect"}
