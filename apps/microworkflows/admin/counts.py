"""Counts of messages that need attention: one number per status, each a link to its rows."""

import logging
from dataclasses import dataclass
from typing import Any, Final

from django.db import OperationalError, router
from django.db.models import Count as CountOf
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import actual, celery_app, holds, transactions, unreceived
from microworkflows.dead_letters import Look, survey
from microworkflows.loads import Loads
from microworkflows.models import InboxEvent, OutboxEvent

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Count:
    """Number of messages with one status."""

    status: str
    """Word of the code for it."""
    number: int | None
    """None if it is unknown, because the broker did not answer, or nobody can tell from here."""
    model: str
    """Model name, in lower case, of the admin that lists them; empty if a page of its own does."""
    meaning: str


_COUNTED: tuple[tuple[type[OutboxEvent] | type[InboxEvent], dict[Any, Promise]], ...] = (
    (
        OutboxEvent,
        {
            OutboxEvent.Status.PENDING: _("recorded, not yet relayed to the broker"),
            OutboxEvent.Status.UNHEARD: _("relayed, but no queue was bound to their type"),
            OutboxEvent.Status.REJECTED: _("refused by the broker for good, such as one that is too large"),
        },
    ),
    (
        InboxEvent,
        {
            InboxEvent.Status.WAITING: _("will be tried again, after a failure or once a pause is over"),
            InboxEvent.Status.PARKED: _("failed for good, until somebody replays them"),
        },
    ),
)


SECONDS: Final = 2.0
"""Longest wait of a page for one answer of the broker, or of the database for what may take long."""


def dead_letters() -> Count:
    """Count the dead letters of all contexts, at the broker, which is asked now."""
    found = survey(most=0, seconds=SECONDS)
    looks = [look for look in found.values() if isinstance(look, Look)]
    known = len(looks) == len(found)
    return Count(
        status="dead",
        number=sum(look.count for look in looks) if known else None,
        model="deadletter",
        meaning=gettext("refused by a worker, or given up by the broker")
        if known
        else gettext("unknown: the broker is away"),
    )


def left_behind() -> Count | None:
    """Count the messages in queues that the installed code no longer declares; None if there is no such queue."""
    if not (names := actual.left_behind()):
        return None
    loads = Loads(celery_app.get(), seconds=SECONDS)
    meaning = gettext("in queues that no installed app declares: %(names)s (manage.py topology)") % {
        "names": ", ".join(names)
    }
    try:
        number = sum(loads.of(name).depth or 0 for name in names)
    except Exception as error:  # of whatever transport
        logger.warning(
            "the broker does not tell what waits in %s: %s: %s", ", ".join(names), type(error).__name__, error
        )
        unknown = gettext("unknown: the broker is away; %(meaning)s") % {"meaning": meaning}
        return Count(status="left behind", number=None, model="", meaning=unknown)
    finally:
        loads.close()
    return Count(status="left behind", number=number, model="", meaning=meaning)


def paused() -> Count:
    """Count the contexts, microworkflows and flows that somebody has paused."""
    meaning = gettext("contexts, microworkflows and flows that somebody holds back")
    return Count(status="paused", number=len(holds.in_force()), model="hold", meaning=meaning)


def unreceived_events() -> Count:
    """Count the deliveries that did not arrive, in one query that may take two seconds."""
    try:
        with transactions.limited(SECONDS, using=router.db_for_write(OutboxEvent)):
            number = unreceived.recent().total()
            untold = unreceived.untold()
    except OperationalError:
        known = None
        meaning = gettext("unknown: to count them takes too long here; manage.py unreceived counts them")
    else:
        known = None if untold and not number else number
        meaning = gettext(
            "relayed, and not received after ten minutes: in a queue still, a dead letter, or lost"
        )
        if untold:
            meaning = gettext("unknown: no worker of %(contexts)s was seen in this database") % {
                "contexts": ", ".join(untold)
            }
    return Count(status="unreceived", number=known, model="", meaning=meaning)


def counts() -> list[Count]:
    """Count the messages that are not done, in two queries on the partial indexes of the statuses."""
    found = []
    for model, meanings in _COUNTED:
        rows = model.objects.filter(status__in=meanings).order_by().values_list("status")
        numbers = dict(rows.annotate(number=CountOf("pk")))
        for status, meaning in meanings.items():
            number = numbers.get(status, 0)
            found.append(
                Count(status=status.label, number=number, model=model._meta.model_name, meaning=str(meaning))
            )
    return found
