"""Erasing in the journal, which keeps no payloads: what may be personal there are the texts of errors, and alarms that quote them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from microworkflows import sensitive
from microworkflows.cloudevents import context_of
from microworkflows.flows import Erasing, Kept
from microworkflows.journal.expectations import QUOTING
from microworkflows.journal.models import Alarm, Alert, Attempt, Delivery, Event, Flow

_ERRORS, _ALARMS = "errors in the journal", "alarms"
_UNMENDED = (Delivery.Status.WAITING, Delivery.Status.PARKED)
_REMEDY = "replay or dismiss what failed, or erase with --although"


def erase(erasing: Erasing) -> dict[str, int]:
    """Leave of the errors in flows about some objects their types alone, and nothing of the details of alarms that may quote them.

    What somebody still has to mend stays, unless it is given up. A message about an alarm is erased at once, sent or not: it would
    leave for a place where nobody erases. Its cause and owner stay, and the alarm says the rest.
    """
    open_rows, done_rows = _rows(erasing, is_open=True), _rows(erasing, is_open=False)
    given_up = [open_rows] if erasing.although else []
    return {
        _ERRORS: sum(_erase(rows, erasing) for each in (done_rows, *given_up) for rows in each.errors),
        _ALARMS: sum(_erase_details(each.alarms, erasing) for each in (done_rows, *given_up)),
        "alerts": _erase_details(_alerts(erasing), erasing),
    }


def kept(erasing: Erasing) -> list[Kept]:
    """Return the errors and alarms that stay, because somebody still has to mend what they are about."""
    rows = _rows(erasing, is_open=True)
    errors = sum(1 for each in rows.errors for _ in _unerased(each, erasing))
    alarms = sum(1 for _ in _quoting(rows.alarms))
    whys = {
        _ERRORS: (errors, "of what waits, is parked or was refused"),
        _ALARMS: (alarms, "open, of such a flow"),
    }
    return [Kept(what, number, why, _REMEDY) for what, (number, why) in whys.items() if number]


def contexts_of(erasing: Erasing) -> set[str]:
    """Return the contexts, of all services, that announced or received events of these flows."""
    events = Event.objects.filter(flow__in=_flows(erasing))
    consumers = Delivery.objects.filter(event__in=events).values_list("consumer", flat=True).distinct()
    return {context_of(name) for name in (*events.values_list("type", flat=True).distinct(), *consumers)}


class _Rows(NamedTuple):
    errors: "tuple[QuerySet[Any], ...]"
    alarms: "QuerySet[Alarm]"


def _rows(erasing: Erasing, *, is_open: bool) -> _Rows:
    """Return the rows of these flows that somebody still has to mend, or the others."""
    flows = _flows(erasing)
    unmended = Delivery.objects.filter(event__flow=OuterRef("flow"), status__in=_UNMENDED)
    refused = Event.objects.filter(flow=OuterRef("flow"), status=Event.Status.REJECTED)
    is_unmended = Q(status__in=_UNMENDED)
    is_refused = Q(status=Event.Status.REJECTED)
    is_alarming = Q(closed_at=None) & (Exists(unmended) | Exists(refused))
    deliveries = Delivery.objects.filter(is_unmended if is_open else ~is_unmended, event__flow__in=flows)
    return _Rows(
        errors=(
            Attempt.objects.filter(delivery__in=deliveries),
            deliveries,
            Event.objects.filter(is_refused if is_open else ~is_refused, flow__in=flows),
        ),
        alarms=Alarm.objects.filter(is_alarming if is_open else ~is_alarming, flow__in=flows),
    )


def _flows(erasing: Erasing) -> "QuerySet[Flow]":
    about = Q()
    for subject in erasing.subjects:
        about |= Q(kind=subject.kind, key=subject.key)
    return Flow.objects.filter(about)


def _alerts(erasing: Erasing) -> "QuerySet[Alert]":
    """Return the messages whose details are those of an alarm in one of these flows: the first that they name."""
    ids = list(_flows(erasing).values_list("correlation_id", flat=True))
    return Alert.objects.filter(flows__0__correlation_id__in=ids) if ids else Alert.objects.none()


def _erase(rows: "QuerySet[Any]", erasing: Erasing) -> int:
    return sum(
        rows.model.objects.filter(pk=pk).update(error=text)
        for pk, text in dict(_unerased(rows, erasing)).items()
    )


def _unerased(rows: "QuerySet[Any]", erasing: Erasing) -> Iterator[tuple[Any, str]]:
    """Yield the keys of rows with an error that says more than its type, with what an erasure leaves of it."""
    for pk, error in rows.exclude(error="").values_list("pk", "error"):
        text = sensitive.erased_error(error, at=erasing.at)
        if text != error:
            yield pk, text


def _erase_details(rows: "QuerySet[Any]", erasing: Erasing) -> int:
    changes: Mapping[str, str] = {"details": sensitive.erased_text(erasing.at)}
    changed = 0
    for row in list(_quoting(rows)):
        further = (
            {"error": sensitive.erased_error(row.error, at=erasing.at)} if isinstance(row, Alert) else {}
        )
        changed += rows.model.objects.filter(pk=row.pk).update(**changes, **further)
    return changed


def _quoting(rows: "QuerySet[Any]") -> Iterator[Any]:
    """Yield the alarms, or messages about alarms, whose details may quote an error."""
    for row in rows.filter(cause__in=[str(each) for each in QUOTING]):
        if not sensitive.is_erased(row.details):
            yield row
