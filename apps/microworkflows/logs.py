"""The kit's loggers, and the fields of a hop's log lines, for ``extra=``, by which logs are searched and structured."""

import logging
import traceback
from typing import Any

from microworkflows import causes, masking, texts
from microworkflows import traceparent as traces
from microworkflows.cloudevents import Metadata, context_of


def logger(module: str) -> logging.Logger:
    """Return a module's logger, whose tracebacks are fit for a log.

    The text of an exception may come from outside: a line break in it would forge a line. It may hold sensitive values:
    who logs a failure gives the exception as :func:`.masking.error` shows it, and its traceback as the field ``traceback``.
    """
    found = logging.getLogger(module)
    found.addFilter(_tidy)
    return found


def _tidy(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1] is not None:
        error = masking.error(record.exc_info[1], masking.without_input)
        record.exc_info = type(error), error, error.__traceback__
        shown = getattr(record, "traceback", None) or "".join(traceback.format_exception(error))
        record.exc_text = texts.block(shown, translated=False).rstrip("\n")
    return True


def fields(
    event: Metadata, *, consumer: str | None = None, duration: float | None = None, **more: Any
) -> dict[str, Any]:
    """Return the fields of a line about one event.

    Args:
        event: The event's envelope.
        consumer: Label of the microworkflow that receives it, or of the context where none listens.
        duration: Duration of the step in seconds.
        more: Further fields.

    Returns:
        ``event_id``, ``event_type``, ``correlation_id``, ``subject`` (kind and key) and ``subject_name`` of the flow (None
        if it has none), ``context`` (which announced or receives it) and ``microworkflow`` (None if the line is about
        none) as strings, ``duration`` in seconds, ``trace_id`` of the flow and ``span_id`` of the event's creation (W3C
        Trace Context).
    """
    trace_id, span_id = traces.ids(event.traceparent)
    return {
        "event_id": str(event.id),
        "event_type": event.type,
        "correlation_id": event.correlation_id,
        "subject": str(event.subject) if event.subject else None,
        "subject_name": (event.subject.name or None) if event.subject else None,
        "context": context_of(consumer) if consumer else event.context,
        "microworkflow": consumer if consumer and "." in consumer else None,
        "duration": duration,
        "trace_id": trace_id,
        "span_id": span_id,
        **more,
    }


class TraceIds(logging.Filter):
    """Gives the lines of other loggers ``trace_id`` and ``span_id``, too: of the event being handled, or of the request.

    Add it to a handler in ``LOGGING``. A line that has a ``trace_id`` keeps it; outside a trace, both are None.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "trace_id"):
            current = causes.current_traceparent()
            record.trace_id, record.span_id = traces.ids(current) if current else (None, None)
        return True
