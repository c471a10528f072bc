"""The door of an event queue: a CloudEvent comes in as a call of the receiving task; all else is refused with a reason."""

from typing import Any

from kombu import Message

from microworkflows import topology
from microworkflows.cloudevents import ATTEMPT_HEADER, CONTENT_TYPE
from microworkflows.errors import InvalidCloudEventError
from microworkflows.models import message_id
from microworkflows.worker import trust


def admit(message: Message, *, queue: str) -> None:
    """Let a CloudEvent in: the message's payload becomes a call of the receiving task for this queue.

    Raises:
        InvalidCloudEventError: the message is something else; one with a ``task`` header could call any task.
    """
    if "task" in (message.headers or {}):
        raise InvalidCloudEventError(
            "A Celery task was sent to an event queue; send tasks to queues of their own."
        )
    if str(message.content_type).partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise InvalidCloudEventError(
            f"The content type is {message.content_type!r}; events are {CONTENT_TYPE}."
        )
    message.content_type = CONTENT_TYPE
    if not message.body:
        raise InvalidCloudEventError("The message is empty.")  # Kombu would decode it to itself
    try:
        call: dict[str, Any] = message.decode()
    except Exception as error:
        raise InvalidCloudEventError(str(error)) from error
    (event,) = call["args"]
    trust.check(message, event_type=event["type"], source=event["source"], queue=queue)
    call["id"] = message_id(queue, call["id"])
    headers: dict[str, Any] = message.headers or {}
    call["kwargs"] = {"queue": queue, "attempt": headers.get(ATTEMPT_HEADER)}
    if headers.get(topology.DELIVERY_COUNT, 0) >= topology.DELIVERY_LIMIT:
        call["kwargs"]["last_delivery"] = True
