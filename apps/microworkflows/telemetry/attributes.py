"""Attributes of the spans: those of the broker, of one message, and of a failure."""

import functools
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from microworkflows import celery_app, masking, texts, topology
from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.telemetry import conventions as names

Attributes = dict[str, str | int]


@functools.cache
def of_broker() -> Mapping[str, str | int]:
    """Return the attributes of the broker that this process was set up for; its address only if it has a single one."""
    connection = celery_app.get().connection_for_write()
    if connection.transport.driver_type != "amqp":
        return {names.SYSTEM: str(connection.transport.driver_type)}
    if len(connection.alt) > 1:
        return {names.SYSTEM: names.RABBITMQ}
    broker: dict[str, Any] = connection.info()
    return {
        names.SYSTEM: names.RABBITMQ,
        names.SERVER_ADDRESS: str(broker["hostname"]),
        names.SERVER_PORT: int(broker["port"]),
    }


def of_operation(name: str, *, type: str, destination: str) -> Attributes:
    """Return the attributes of an operation at the broker, by which a sampler may decide; further ones can come later."""
    return {
        **of_broker(),
        names.OPERATION_NAME: name,
        names.OPERATION_TYPE: type,
        names.DESTINATION: destination,
    }


def destination(*, routing_key: str | None = None, queue: str | None = None) -> str:
    """Return the name of a destination in the form that the conventions give for RabbitMQ."""
    return ":".join(part for part in (topology.exchange_name(), routing_key, queue) if part)


def of_any_message(message_id: str, *, routing_key: str, conversation_id: str) -> Attributes:
    """Return the attributes by which messages of a batch differ."""
    found: Attributes = {names.MESSAGE_ID: message_id, names.CONVERSATION_ID: conversation_id}
    if of_broker()[names.SYSTEM] == names.RABBITMQ:
        found[names.ROUTING_KEY] = routing_key
    return found


def of_envelope(event: Metadata) -> Attributes:
    """Return the attributes of the message that carries an event."""
    event_id = event.original_id or str(event.id)
    found = {
        **of_any_message(event_id, routing_key=event.type, conversation_id=event.correlation_id),
        names.EVENT_ID: event_id,
        names.EVENT_SOURCE: event.source,
        names.EVENT_SPEC_VERSION: "1.0",
        names.EVENT_TYPE: event.type,
    }
    if event.subject is not None:
        found[names.SUBJECT] = str(event.subject)
        if event.subject.name:
            found[names.SUBJECT_NAME] = event.subject.name
    return found


def of_event(event: CloudEvent) -> Attributes:
    """Return the attributes of the message that has brought an event, with the attribute ``subject`` of a foreign one."""
    subject = event.extensions.get("subject")
    return {**of_envelope(event.meta), **({names.EVENT_SUBJECT: subject} if isinstance(subject, str) else {})}


def fail(span: Span, *, type: str, text: str = "") -> None:
    """Give a span the status of a failure; the text must hold nothing sensitive."""
    span.set_status(Status(StatusCode.ERROR, text or None))
    span.set_attribute(names.ERROR_TYPE, type or names.OTHER_ERROR)


def type_of(error: BaseException) -> str:
    """Return the name of an error's class with its module."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def text_of(error: BaseException, event: CloudEvent) -> str:
    """Return the first line of an error's text, without the event's sensitive values."""
    return texts.line(masking.scrub(event)(str(error)).partition("\n")[0])
