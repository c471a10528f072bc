"""Alerts: messages about alarms by e-mail and webhook, gathered by cause, and sent at least once.

Of many alarms of one cause, the first message comes after a few seconds, and from then on at most one a minute, with their number.
An alert is stored with its alarm, so a crash loses none; one between sending and noting that sends it twice, with the same key.
"""

import json
import logging
import threading
import urllib.request
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.mail import EmailMessage
from django.db import connections
from django.db.models import Max, Value
from django.db.models.functions import Coalesce

from microworkflows import texts
from microworkflows.journal import conf
from microworkflows.journal.models import Alarm, Alert, Moment

logger = logging.getLogger(__name__)

GATHERS: Final = timedelta(seconds=5)
"""Time in which alarms of one cause join the first message about it."""

PAUSE: Final = timedelta(seconds=60)
"""Time between two messages about the same cause."""

MOST_NAMED: Final = 20
"""Number of flows that a message names."""

TIMEOUT_SECONDS: Final = 5.0
"""Longest wait for the receiver of a webhook."""

_FIRST_RETRY: Final = timedelta(seconds=30)
_LONGEST_RETRY: Final = timedelta(minutes=15)
_GIVEN_UP_AFTER: Final = timedelta(days=1)
_sending = threading.Lock()


def note(alarm: Alarm, *, now: datetime) -> None:
    """Let a message tell of an alarm that was just raised or closed; inside the transaction that stores this."""
    settings = conf.current()
    if not (settings.journal_alert_mail or settings.journal_alert_webhook):
        return
    kind = Alert.Kind.ENDED if alarm.closed_at else Alert.Kind.OVERDUE
    named = {"subject": str(alarm.flow), "correlation_id": alarm.flow.correlation_id}
    group = {"kind": kind, "owner": alarm.owner, "cause": alarm.cause, "awaited": alarm.awaited}
    last = Alert.objects.filter(**group).aggregate(last=Max("sealed_at"))["last"]
    due_at = now + GATHERS if last is None else max(now + GATHERS, last + PAUSE)
    alert, is_new = Alert.objects.select_for_update().get_or_create(
        **group,
        sealed_at=None,
        defaults={
            "id": uuid.uuid4(),
            "details": alarm.details,
            "flows": [named],
            "began_at": now,
            "due_at": due_at,
        },
    )
    if not is_new:
        alert.count += 1
        alert.flows = [*alert.flows, named][:MOST_NAMED]
        alert.save(update_fields=["count", "flows"])


def send_soon(now: datetime) -> None:
    """Send what is due in a thread of its own, for receivers may be slow; one thread at a time."""
    if _due(now).exists() and _sending.acquire(blocking=False):
        threading.Thread(target=_send_and_leave, args=[now], name="journal-alerts", daemon=True).start()


def send_due(now: datetime) -> int:
    """Send each message that is due; return the number of those that all have."""
    return sum(_sent(alert, now) for alert in _due(now).order_by("due_at")[:100])


def _send_and_leave(now: datetime) -> None:
    try:
        send_due(now)
    except Exception:
        logger.exception("alerts could not be sent, and are tried again")
    finally:
        connections.close_all()  # this thread's
        _sending.release()


def _due(now: datetime) -> Any:
    return Alert.objects.filter(done_at=None, due_at__lte=now)


def _sent(alert: Alert, now: datetime) -> bool:
    """Try to send a message; False if another process does, or somebody has not got it."""
    pause = min(_FIRST_RETRY * 2 ** min(alert.attempts, 10), _LONGEST_RETRY)
    claimed = Alert.objects.filter(pk=alert.pk, due_at=alert.due_at, done_at=None).update(
        due_at=now + pause, sealed_at=Coalesce("sealed_at", Value(now, Moment())), attempts=alert.attempts + 1
    )
    if not claimed:
        return False
    alert.refresh_from_db()
    settings = conf.current()
    errors = []
    if settings.journal_alert_mail and alert.mailed_at is None:
        errors.append(_tried(alert, "mailed_at", now, lambda: _mail(alert, settings.journal_alert_mail)))
    if settings.journal_alert_webhook and alert.posted_at is None:
        errors.append(_tried(alert, "posted_at", now, lambda: _post(alert, settings.journal_alert_webhook)))
    alert.error = "\n".join(filter(None, errors))
    given_up = bool(alert.error) and now - alert.began_at > _GIVEN_UP_AFTER
    if given_up:
        logger.error("alert %s was given up after %d attempts: %s", alert.pk, alert.attempts, alert.error)
    alert.done_at = now if given_up or not alert.error else None
    alert.save(update_fields=["mailed_at", "posted_at", "error", "done_at"])
    return not alert.error


def _tried(alert: Alert, done: str, now: datetime, send: Callable[[], object]) -> str:
    """Send by one way, and note it at once; return the error, empty if there was none."""
    try:
        send()
    except Exception as error:  # of whatever mail backend or network
        said = texts.line(f"{type(error).__name__}: {error}")
        logger.warning("alert %s could not be sent, and is tried again: %s", alert.pk, said)
        return said
    setattr(alert, done, now)
    alert.save(update_fields=[done])
    return ""


def headline(alert: Alert) -> str:
    """Return what a message says, in one line."""
    first = texts.line(alert.flows[0]["subject"], longest=60)
    which = first if alert.count == 1 else f"{first} and {alert.count - 1:,} more"
    if alert.kind == Alert.Kind.ENDED:
        return f"No longer overdue: {which} ({alert.awaited})"
    return f"Overdue: {which}: {alert.awaited} has not come, {alert.owner}: {alert.cause}"


def _mail(alert: Alert, addresses: Any) -> None:
    named = "\n".join(f"- {each['subject']} (flow {each['correlation_id']})" for each in alert.flows)
    more = alert.count - len(alert.flows)
    body = f"{headline(alert)}\n\n{alert.details}\n\n{named}\n" + (f"- and {more:,} more\n" if more else "")
    EmailMessage(
        subject=f"[microworkflows] {headline(alert)}",
        body=body + (f"\n{url}\n" if (url := _url()) else ""),
        to=list(addresses),
        headers={"Message-ID": f"<{alert.pk}@journal.microworkflows>"},
    ).send()


def _post(alert: Alert, url: str) -> None:
    body = {
        "version": 1,
        "key": str(alert.pk),
        "kind": alert.kind,
        "text": headline(alert),
        "owner": alert.owner,
        "cause": alert.cause,
        "awaited": alert.awaited,
        "details": alert.details,
        "count": alert.count,
        "flows": alert.flows,
        "began_at": alert.began_at.isoformat(),
        "url": _url(),
    }
    request = urllib.request.Request(  # noqa: S310  (the settings allow http and https alone)
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": str(alert.pk)},
        method="POST",
    )
    with _opener.open(request, timeout=TIMEOUT_SECONDS):
        pass


def _url() -> str:
    """Return the address of the list of alarms; empty if the settings do not name the admin's."""
    base = conf.current().journal_admin_url
    return f"{base.rstrip('/')}/microworkflows_journal/alarm/" if base else ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an error: to follow one would post to an address that nobody has named."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Return nothing, so that the answer becomes an HTTPError."""


_opener = urllib.request.build_opener(_NoRedirects)
