"""Poison below the door: a worker that imports this admits events that cannot be sent to a process of its pool."""

from typing import Any

from microworkflows.worker import admission

_admit = admission.admit


def _too_deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


POISONS = {"too_deep": _too_deep(), "unpicklable": lambda: None}


def admit(message: Any, **options: Any) -> Any:
    """Admit as the kit does, then put into the event what the door would have to keep out."""
    admitted = _admit(message, **options)
    for event in message.payload["args"]:
        if poison := POISONS.get(event["data"].get("file")):
            event["data"]["poison"] = poison
    return admitted


admission.admit = admit
