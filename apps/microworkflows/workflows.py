"""The decorator ``@microworkflow``: one event in, work inside one context, events out."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.apps import apps

from microworkflows import registry
from microworkflows.errors import UndeclaredEventError
from microworkflows.events import DomainEvent, Event

Trigger = TypeVar("Trigger", bound=Event)
Emitted = DomainEvent | Sequence[DomainEvent] | None


class Microworkflow(Generic[Trigger]):
    """A declared microworkflow. Calling it calls the plain function and records nothing, as unit tests need it."""

    def __init__(
        self,
        function: Callable[[Trigger], Emitted],
        *,
        on: type[Trigger],
        emits: Sequence[type[DomainEvent]],
        context: str | None,
        bootstrap: bool = False,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = function.__name__
        self.on = on
        self.emits = tuple(emits)
        self.bootstrap = bootstrap
        self._context = context

    def __call__(self, event: Trigger) -> Emitted:
        return self.function(event)

    def __repr__(self) -> str:
        return f"<microworkflow {self.label} on {self.on.event_type}>"

    @functools.cached_property
    def context(self) -> str:
        """Label of its bounded context, by default its app's; also the name of the queue that its events come by."""
        if self._context is not None:
            return self._context
        module = self.function.__module__
        app = apps.get_containing_app_config(module)
        if app is None:
            raise LookupError(
                f"{module}.{self.name} lives in no installed app. Add its app to INSTALLED_APPS, "
                "or name its context: @microworkflow(on=..., context=...)."
            )
        return app.label

    @property
    def label(self) -> str:
        """Unique name in the system, such as ``payments.take_payment``."""
        return f"{self.context}.{self.name}"

    def emitted(self, result: Emitted) -> list[DomainEvent]:
        """Return the function's result as a list of events.

        Raises:
            UndeclaredEventError: it holds an event that ``emits`` does not name.
        """
        events = [] if result is None else list(result) if isinstance(result, Sequence) else [result]
        for event in events:
            if type(event) not in self.emits:
                declared = ", ".join(declared.__name__ for declared in self.emits) or "nothing"
                raise UndeclaredEventError(
                    f"{self.label} returned {type(event).__name__} but declares {declared}. "
                    "Add it to emits=[...] of its @microworkflow, or return a declared event."
                )
        return events


def microworkflow(
    *,
    on: type[Trigger],
    emits: Sequence[type[DomainEvent]] = (),
    context: str | None = None,
    bootstrap: bool = False,
) -> Callable[[Callable[[Trigger], Emitted]], Microworkflow[Trigger]]:
    """Declare a function as a microworkflow.

    Args:
        on: The event that triggers it: its context's reading of a foreign event, or a domain event of its own.
        emits: Each event that it may return. Returned events are recorded in the transaction of the function.
        context: Label of its bounded context; by default that of its app.
        bootstrap: True to handle events of the past, too, that ``manage.py bootstrap`` records: what this does must be right for
            what happened long ago. By default it never gets them.

    Raises:
        TypeError: the function is no plain function of one argument, ``on`` is not one class of events, or ``emits`` is
            not a list of such classes.

    The function takes the event and returns None, one event, or a list or tuple of them. An exception rolls the
    transaction back, and the message is retried with exponential backoff; a
    :class:`~microworkflows.errors.PermanentError` parks it at once.
    """

    _check_trigger(on)
    _check_emits(emits)

    def declare(function: Callable[[Trigger], Emitted]) -> Microworkflow[Trigger]:
        _check_function(function)
        declared = Microworkflow(function, on=on, emits=emits, context=context, bootstrap=bootstrap)
        registry.add_workflow(declared)
        return declared

    return declare


def _check_trigger(on: Any) -> None:
    if isinstance(on, list | tuple | set | frozenset):
        raise TypeError(
            f"on={on!r} names {len(on)} events; one triggers a microworkflow. Declare one for each, which call the same "
            "operation."
        )
    if not _is_event(on):
        raise TypeError(
            f"on={on!r} is no event, or has no type. Name the context's reading, class X(IncomingEvent, type=...), or a domain event of "
            "its own."
        )


def _check_emits(emits: Any) -> None:
    if not isinstance(emits, Sequence) or isinstance(emits, str):
        raise TypeError(f"emits={emits!r} is no list. Write emits=[...].")
    for event in emits:
        if not _is_event(event):
            raise TypeError(
                f"emits names {event!r}, which is no event, or has no type. Declare class X(DomainEvent, type=...) in the context."
            )


def _is_event(value: Any) -> bool:
    """Return True for a class of events that has a type."""
    return isinstance(value, type) and issubclass(value, Event) and hasattr(value, "event_type")


def _check_function(function: Callable[..., Any]) -> None:
    name = getattr(function, "__qualname__", repr(function))
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{name} is async; a microworkflow runs in a transaction, which Django has for plain functions only. Write "
            "def, and call asyncio.run() or async_to_sync() in it."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} yields; a microworkflow returns its events. Return a list of them.")
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise TypeError(
            f"{name}{inspect.signature(function)} cannot be called with the event alone: {error}. Everything that a "
            "microworkflow needs to know is in the event, or read in its function."
        ) from None
