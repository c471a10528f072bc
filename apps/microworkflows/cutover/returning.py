"""The way back by itself: a live context goes inline once so many messages of its live flows fail as somebody has allowed.

The process in which an attempt fails looks, right after it has kept the failure; so this needs nothing that runs beside. A worker
that is gone lets nothing fail: the page shows that.
"""

import logging

from microworkflows.cutover import conf, evidence, switch
from microworkflows.cutover.models import ContextMode
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import CutoverRefusedError, Setting

logger = logging.getLogger(__name__)

BY = "the cut-over itself"
"""Name in the history."""


def look(context: str) -> None:
    """Take a context back to inline if too many messages of its live flows fail since its mode was changed."""
    if context not in conf.contexts():
        return
    row = ContextMode.objects.filter(pk=context, mode=Mode.LIVE, return_at__isnull=False).first()
    if row is None or row.return_at is None:
        return
    failing = evidence.failing_live(context, since=row.changed_at)
    if failing < row.return_at:
        return
    try:
        switch.change(
            context,
            mode=Mode.INLINE,
            by=BY,
            why=f"{failing} messages of flows that are live fail; it was to go back at {row.return_at}",
            expected=Setting(Mode(row.mode), row.percent),
        )
    except CutoverRefusedError as error:
        logger.error("%s was to go back to inline by itself, and could not: %s", context, error)
