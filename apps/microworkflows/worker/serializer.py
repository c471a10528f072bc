"""CloudEvents for Celery: Kombu's serializer for their content type makes each one a task message."""

import json
from typing import Any

from kombu import serialization

from microworkflows.cloudevents import CONTENT_TYPE, CloudEvent

NAME = "cloudevents"
TASK = "microworkflows.receive"
BUNDLE_TASK = "microworkflows.receive_bundle"


def register() -> None:
    """Register the serializer with Kombu, under :data:`NAME`."""
    serialization.register(NAME, json.dumps, decode, content_type=CONTENT_TYPE, content_encoding="utf-8")


def decode(body: str | bytes) -> dict[str, Any]:
    """Return a task message (Celery's protocol 1) that carries the CloudEvent.

    Raises:
        InvalidCloudEventError: the body is not a CloudEvent.
    """
    event = CloudEvent.from_json(body)
    return {
        "task": TASK,
        "id": str(event.meta.id),
        "args": [event.to_dict()],
        "kwargs": {},
        "shadow": event.meta.type,
        "argsrepr": f"({event.meta.type} {event.meta.id})",
        "kwargsrepr": "{}",
    }
