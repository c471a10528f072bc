"""Fields of a hop's log lines, for ``extra=``, by which logs are searched and structured."""

from typing import Any

from microworkflows.cloudevents import Metadata, context_of


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
        ``event_id``, ``event_type``, ``correlation_id``, ``context`` (which announced or receives it) and
        ``microworkflow`` (None if the line is about none) as strings, ``duration`` in seconds.
    """
    return {
        "event_id": str(event.id),
        "event_type": event.type,
        "correlation_id": event.correlation_id,
        "context": context_of(consumer) if consumer else event.context,
        "microworkflow": consumer if consumer and "." in consumer else None,
        "duration": duration,
        **more,
    }
