"""Replays of a problem: its messages are brought back so many a second, each once, whatever is killed meanwhile.

A replay is rows: which messages, and the outcome of each. Whoever relays their context takes the next ones every second, in one
transaction with that note (:func:`advance`), so a relay that is killed has either done both or neither, and another one goes on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, models, router, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from microworkflows import registry, times, transactions
from microworkflows.cloudevents import context_of
from microworkflows.models import DUE_AT_ONCE, InboxEvent
from microworkflows.problems.models import Replay, ReplayedMessage

MOST_PER_SECOND = 500
_BATCH = 1_000
Outcome = ReplayedMessage.Outcome


class ReplayRefusedError(Exception):
    """The replay cannot begin; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Numbers of a replay's messages by outcome."""

    to_come: int
    sent: int
    handled: int
    failed: int
    left: int

    @property
    def total(self) -> int:
        """Number of all."""
        return self.to_come + self.sent + self.handled + self.failed + self.left

    @property
    def settled(self) -> int:
        """Number of those whose outcome is known."""
        return self.handled + self.failed + self.left


def begin(fingerprint: str, *, by: str, why: str = "", per_second: int) -> Replay:
    """Begin to replay the messages that wait or are parked with this fingerprint, the oldest first.

    Args:
        fingerprint: Fingerprint of their last failure.
        by: Name of the person.
        why: The reason, for the history.
        per_second: Most messages that are brought back in a second, 1 to :data:`MOST_PER_SECOND`.

    Raises:
        ReplayRefusedError: there is no such message, another replay of them is under way, or the pace is out of range.
    """
    if not 1 <= per_second <= MOST_PER_SECOND:
        raise ReplayRefusedError(
            _("%(number)s messages a second is no pace; choose 1 to %(most)s.")
            % {"number": per_second, "most": MOST_PER_SECOND}
        )
    alias = router.db_for_write(InboxEvent)
    rows = InboxEvent.objects.failing().of_problem(fingerprint).order_by("added", "pk")
    keys = list(rows.values_list("msg_id", flat=True))
    if not keys:
        raise ReplayRefusedError(_("No message of this problem waits or is parked (any more)."))
    now = times.now()
    try:
        with transaction.atomic(using=alias):
            replay = Replay.objects.create(
                fingerprint=fingerprint,
                context=context_of(keys[0].partition(":")[0]),
                by=by,
                why=why,
                per_second=per_second,
                began_at=now,
                advanced_at=now - timedelta(seconds=1),
            )
            messages = (ReplayedMessage(replay=replay, msg_id=key) for key in keys)
            ReplayedMessage.objects.bulk_create(messages, batch_size=_BATCH)
    except IntegrityError as error:
        raise ReplayRefusedError(
            _("Another replay of this problem is under way; wait for its end, or stop it.")
        ) from error
    return replay


def stop(replay: Replay, *, by: str) -> None:
    """Bring no more of its messages back; those that are on their way arrive."""
    with transactions.read_committed(using=router.db_for_write(InboxEvent)):
        running = Replay.objects.select_for_update().filter(pk=replay.pk, ended_at__isnull=True)
        if running.update(ended_at=times.now(), stopped_by=by):
            replay.messages.filter(outcome=Outcome.TO_COME).update(outcome=Outcome.LEFT)


def advance(contexts: Sequence[str]) -> int:
    """Go on with each replay of these contexts as far as its pace allows; return the number of messages brought back.

    One that another process is at is left to it.
    """
    relayed_here = Q(context__in=list(contexts)) | ~Q(context__in=list(registry.contexts()))
    running = Replay.objects.filter(relayed_here, ended_at__isnull=True)
    return sum(_advance(key) for key in running.values_list("pk", flat=True))


def progress(replay: Replay) -> Progress:
    """Return where a replay stands."""
    rows = replay.messages.order_by().values_list("outcome").annotate(number=models.Count("pk"))
    numbers = Counter(dict(rows))
    return Progress(
        to_come=numbers[Outcome.TO_COME],
        sent=numbers[Outcome.SENT],
        handled=numbers[Outcome.HANDLED],
        failed=numbers[Outcome.FAILED],
        left=numbers[Outcome.LEFT],
    )


def failed_again(replay: Replay, *, most: int) -> list[InboxEvent]:
    """Return the first messages that failed again after they were brought back, as they are now in the inbox."""
    keys = replay.messages.filter(outcome=Outcome.FAILED).order_by("pk").values_list("msg_id", flat=True)
    return list(InboxEvent.objects.filter(msg_id__in=list(keys[:most])).order_by("added"))


def purge(ended: "models.QuerySet[Replay]") -> int:
    """Delete replays with their messages, one after the other; return the number of messages."""
    number = 0
    for replay in ended:
        with transaction.atomic(using=router.db_for_write(Replay)):
            number += replay.messages.all().delete()[0]
            replay.delete()
    return number


def _advance(key: int) -> int:
    with transactions.read_committed(using=router.db_for_write(InboxEvent)):
        rows = Replay.objects.select_for_update(skip_locked=True).filter(pk=key, ended_at__isnull=True)
        if (replay := rows.annotate(now=times.database_now()).first()) is None:
            return 0
        number = _bring_back(replay, most=replay.allowance(replay.now))
        if number:
            used = replay.advanced_at + timedelta(seconds=number / replay.per_second)
            replay.advanced_at = max(used, replay.now - timedelta(seconds=1))
        _settle(replay)
        if not replay.messages.filter(outcome__in=[Outcome.TO_COME, Outcome.SENT]).exists():
            replay.ended_at = times.now()
        replay.save(update_fields=["advanced_at", "ended_at"])
        return number


def _bring_back(replay: Replay, *, most: int) -> int:
    """Replay the next messages; return the number of those looked at."""
    waiting = replay.messages.filter(outcome=Outcome.TO_COME).order_by("pk")
    keys = list(waiting.values_list("msg_id", flat=True)[:most])
    if not keys:
        return 0
    InboxEvent.objects.failing().filter(msg_id__in=keys).replay(by=replay.by, why=replay.why)
    inbox = InboxEvent.objects.many().filter(msg_id__in=keys)
    due = {"status": InboxEvent.Status.WAITING, "retry": 0, "expires_at": times.stored(DUE_AT_ONCE)}
    found = {
        Outcome.SENT: set(inbox.filter(**due).values_list("msg_id", flat=True)),
        Outcome.HANDLED: set(inbox.filter(status=InboxEvent.Status.HANDLED).values_list("msg_id", flat=True)),
    }
    for outcome, of_them in (*found.items(), (Outcome.LEFT, set(keys) - set().union(*found.values()))):
        replay.messages.filter(msg_id__in=of_them).update(outcome=outcome)
    return len(keys)


def _settle(replay: Replay) -> None:
    """Note the outcomes of messages that were brought back.

    The inbox tells them without a clock: a replay has set the number of failed attempts to 0.
    """
    sent = list(replay.messages.filter(outcome=Outcome.SENT).values_list("pk", "msg_id"))
    inbox = InboxEvent.objects.many()
    for first in range(0, len(sent), _BATCH):
        batch = sent[first : first + _BATCH]
        rows = inbox.filter(msg_id__in=[msg_id for _, msg_id in batch])
        found = {
            msg_id: (status, retry) for msg_id, status, retry in rows.values_list("msg_id", "status", "retry")
        }
        outcomes: dict[Outcome, list[int]] = {}
        for key, msg_id in batch:
            outcomes.setdefault(_outcome(*found.get(msg_id, (None, 0))), []).append(key)
        for outcome, keys in outcomes.items():
            if outcome is not Outcome.SENT:
                replay.messages.filter(pk__in=keys).update(outcome=outcome)


def _outcome(status: int | None, retry: int) -> ReplayedMessage.Outcome:
    if status is None or status == InboxEvent.Status.DISMISSED:
        return Outcome.LEFT
    if retry or status == InboxEvent.Status.PARKED:
        return Outcome.FAILED
    return Outcome.HANDLED if status == InboxEvent.Status.HANDLED else Outcome.SENT
