"""Adopting: messages that an earlier version of the kit kept get the fingerprint that their rows allow, and so become problems.

Their rows tell the error's name and the microworkflow, not the function in which it was raised.
"""

from django.db import router

from microworkflows import fingerprints, transactions
from microworkflows.models import Header, InboxEvent
from microworkflows.problems import groups

AT_ONCE = 1_000


def adopt() -> int:
    """Give the next messages without a fingerprint theirs; return their number, at most :data:`AT_ONCE`.

    One that a worker has in hand is left for later.
    """
    alias = router.db_for_write(InboxEvent)
    with transactions.read_committed(using=alias):
        unknown = groups.messages("").using(alias).select_for_update(skip_locked=True, no_key=True)
        rows = list(unknown[:AT_ONCE])
        for row in rows:
            kind = (row.error or "").partition(":")[0]
            row.headers = {
                **(row.headers or {}),
                Header.FINGERPRINT: fingerprints.of_kind(kind, consumer=row.label),
            }
        InboxEvent.objects.using(alias).bulk_update(rows, ["headers"])
    return len(rows)
