"""The decorator ``@microworkflow``: one event in, or many at once, work inside one context, events out."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

from django.apps import apps

from microworkflows import registry
from microworkflows.breaking import Breaker
from microworkflows.errors import MisalignedResultsError, UndeclaredEventError
from microworkflows.events import DomainEvent, Event, is_made_from_previous, versions_of
from microworkflows.limits import Limits
from microworkflows.retrying import Retry
from microworkflows.timers import Later, event_of

Trigger = TypeVar("Trigger", bound=Event)
Emitted = DomainEvent | Later | Sequence[DomainEvent | Later] | None


class Microworkflow(Generic[Trigger]):
    """A declared microworkflow. Calling it calls the plain function and records nothing, as unit tests need it."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        on: type[Trigger] | Sequence[type[Event]],
        emits: Sequence[type[DomainEvent]],
        context: str | None,
        bootstrap: bool = False,
        name: str | None = None,
        many: bool = False,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        limits: Limits | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = function.__name__ if name is None else name
        self.readings = _newest_first(on)
        """The versions of the event by which it is triggered, the newest first; the function gets the newest."""
        self.on: type[Trigger] = self.readings[0]
        self.emits = tuple(emits)
        self.bootstrap = bootstrap
        self.many = many
        """True if the function takes events of several flows at once."""
        self.retry = retry
        self.breaker = breaker
        self.limits = limits
        self._context = context

    def __call__(self, given: Any) -> Any:
        return self.function(given)

    def __repr__(self) -> str:
        return f"<microworkflow {self.label} on {' or '.join(self.types)}>"

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

    @property
    def types(self) -> tuple[str, ...]:
        """Types of the events that trigger it: of several versions of one event, the newest first."""
        return tuple(reading.event_type for reading in self.readings)

    @property
    def emitted_types(self) -> tuple[str, ...]:
        """Types of the events that it may emit, with the versions before that are recorded with them."""
        return tuple(each.event_type for event in self.emits for each in versions_of(event))

    def handle(self, event: Trigger) -> list[DomainEvent | Later]:
        """Call the function with one event; return what it emits.

        Raises:
            UndeclaredEventError: see :meth:`emitted`.
            MisalignedResultsError: see :meth:`handle_all`.
        """
        return self.handle_all([event])[0] if self.many else self.emitted(self.function(event))

    def handle_all(self, events: Sequence[Trigger]) -> list[list[DomainEvent | Later]]:
        """Call the function of a microworkflow that takes many; return what each event emits.

        Raises:
            UndeclaredEventError: see :meth:`emitted`.
            MisalignedResultsError: the function did not return one result for each event.
        """
        results = self.function(events)
        if results is None:
            return [[] for _ in events]
        if not isinstance(results, Sequence) or len(results) != len(events):
            got = f"{len(results)} results" if isinstance(results, Sequence) else type(results).__name__
            raise MisalignedResultsError(
                f"{self.label} got {len(events)} events and returned {got}. Return a list with one entry for each event, in their "
                "order: None, an event, or a list of events. Or return None, if it emits nothing at all."
            )
        return [self.emitted(result) for result in results]

    def emitted(self, result: Emitted) -> list[DomainEvent | Later]:
        """Return the function's result as a list of events.

        Raises:
            UndeclaredEventError: it holds an event that ``emits`` does not name.
        """
        events = [] if result is None else list(result) if isinstance(result, Sequence) else [result]
        for event in map(event_of, events):
            if type(event) not in self.emits:
                declared = ", ".join(declared.__name__ for declared in self.emits) or "nothing"
                raise UndeclaredEventError(
                    f"{self.label} returned {type(event).__name__} but declares {declared}. "
                    "Add it to emits=[...] of its @microworkflow, or return a declared event."
                )
        return events


@overload
def microworkflow(
    *,
    on: type[Trigger],
    emits: Sequence[type[DomainEvent]] = ...,
    context: str | None = ...,
    bootstrap: bool = ...,
    name: str | None = ...,
    many: Literal[False] = ...,
    retry: Retry | None = ...,
    breaker: Breaker | None = ...,
    limits: Limits | None = ...,
) -> Callable[[Callable[[Trigger], Emitted]], Microworkflow[Trigger]]: ...


@overload
def microworkflow(
    *,
    on: type[Trigger],
    emits: Sequence[type[DomainEvent]] = ...,
    context: str | None = ...,
    bootstrap: bool = ...,
    name: str | None = ...,
    many: Literal[True],
    retry: Retry | None = ...,
    breaker: Breaker | None = ...,
    limits: Limits | None = ...,
) -> Callable[[Callable[[Sequence[Trigger]], Sequence[Emitted] | None]], Microworkflow[Trigger]]: ...


@overload
def microworkflow(
    *,
    on: Sequence[type[Event]],
    emits: Sequence[type[DomainEvent]] = ...,
    context: str | None = ...,
    bootstrap: bool = ...,
    name: str | None = ...,
    many: Literal[False] = ...,
    retry: Retry | None = ...,
    breaker: Breaker | None = ...,
    limits: Limits | None = ...,
) -> Callable[[Callable[[Any], Emitted]], Microworkflow[Any]]: ...


@overload
def microworkflow(
    *,
    on: Sequence[type[Event]],
    emits: Sequence[type[DomainEvent]] = ...,
    context: str | None = ...,
    bootstrap: bool = ...,
    name: str | None = ...,
    many: Literal[True],
    retry: Retry | None = ...,
    breaker: Breaker | None = ...,
    limits: Limits | None = ...,
) -> Callable[[Callable[[Sequence[Any]], Sequence[Emitted] | None]], Microworkflow[Any]]: ...


def microworkflow(
    *,
    on: type[Event] | Sequence[type[Event]],
    emits: Sequence[type[DomainEvent]] = (),
    context: str | None = None,
    bootstrap: bool = False,
    name: str | None = None,
    many: bool = False,
    retry: Retry | None = None,
    breaker: Breaker | None = None,
    limits: Limits | None = None,
) -> Callable[[Callable[[Any], Any]], Microworkflow[Any]]:
    """Declare a function as a microworkflow.

    Args:
        on: The event that triggers it: its context's reading of a foreign event, or a domain event of its own. Several
            versions of one event come as a list: whichever is delivered, the function gets the newest, and once.
        emits: Each event that it may return. Returned events are recorded in the transaction of the function.
        context: Label of its bounded context; by default that of its app.
        bootstrap: True to handle events of the past, too, that ``manage.py bootstrap`` records: what this does must be right for
            what happened long ago. By default it never gets them.
        name: Name by which the inbox knows it within its context; by default the function's. Give the old one where you rename
            the function, and ``context``, too, where you move it to another app: what waits or was handled stays its own.
        many: True if the function takes a sequence of events, and returns None or a list with one result for each, in their order.
            A busy worker then hands it those that wait, of a flow never more than one; otherwise it gets one. It works in the
            database alone, and returns its events instead of recording them. If it fails, each event is handled by itself.
        retry: How often, and after which waits, it is tried again; by default as the settings say for all.
        breaker: Which failures say that somebody else is away, and how it is paused then; by default none.
        limits: How long a run may take, and how many may go on at once or begin in a time; by default as long and as many as there
            are. Its events are then handled one by one.

    Raises:
        TypeError: ``retry`` is no :class:`~microworkflows.Retry`, ``breaker`` no :class:`~microworkflows.Breaker`, ``limits`` no
            :class:`~microworkflows.Limits`, ``name`` is no name, the function is no plain function of one argument,
            ``on`` is neither one class of events nor versions of one, or ``emits`` is not a list of such classes.

    The function takes the event and returns None, one event, or a list or tuple of them; each may be a
    :class:`~microworkflows.timers.Later`. An exception rolls the
    transaction back, and the message is retried with exponential backoff; a
    :class:`~microworkflows.errors.PermanentError` parks it at once, and a :class:`~microworkflows.errors.RetryAfter` says when to come again.
    """

    _check_trigger(on)
    _check_emits(emits)
    _check_name(name)
    _check_retry(retry)
    _check_breaker(breaker)
    _check_limits(limits)

    def declare(function: Callable[[Any], Emitted]) -> Microworkflow[Any]:
        _check_function(function)
        declared = Microworkflow[Any](
            function,
            on=on,
            emits=emits,
            context=context,
            bootstrap=bootstrap,
            name=name,
            many=many,
            retry=retry,
            breaker=breaker,
            limits=limits,
        )
        registry.add_workflow(declared)
        return declared

    return declare


def _check_trigger(on: Any) -> None:
    several = isinstance(on, list | tuple | set | frozenset)
    if not (on and all(map(_is_event, on)) if several else _is_event(on)):
        raise TypeError(
            f"on={on!r} is no event, or has no type. Name the context's reading, class X(IncomingEvent, type=...), or a domain event of "
            "its own."
        )
    if not several:
        return
    newest, *others = _newest_first(on)
    if not set(others) < set(versions_of(newest)):
        raise TypeError(
            f"on={on!r} names {len(on)} events which are not versions of one. One fact triggers a microworkflow: declare one for "
            "each, which call the same operation. If one is a new version of another, say so: class X(IncomingEvent, type=..., "
            "previous=...)."
        )
    for newer in versions_of(newest)[: versions_of(newest).index(others[-1])] if others else ():
        if not is_made_from_previous(newer):
            raise TypeError(
                f"on={on!r} names versions, and {newer.__qualname__} does not say how it is made from the one before. Declare a "
                "class method from_previous(cls, previous)."
            )


def _newest_first(on: Any) -> tuple[type[Any], ...]:
    """Return the versions of an event, the newest first, which has the most before it."""
    classes = on if isinstance(on, list | tuple | set | frozenset) else [on]
    return tuple(sorted(dict.fromkeys(classes), key=lambda each: -len(versions_of(each))))


def _check_emits(emits: Any) -> None:
    if not isinstance(emits, Sequence) or isinstance(emits, str):
        raise TypeError(f"emits={emits!r} is no list. Write emits=[...].")
    for event in emits:
        if not _is_event(event):
            raise TypeError(
                f"emits names {event!r}, which is no event, or has no type. Declare class X(DomainEvent, type=...) in the context."
            )


def _check_name(name: Any) -> None:
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise TypeError(
            f"name={name!r} is no name of a function. Write it without its context, as name='take_payment': letters, digits and "
            "underscores."
        )


def _check_retry(retry: Any) -> None:
    if retry is not None and not isinstance(retry, Retry):
        raise TypeError(
            f"retry={retry!r} is no Retry. Write retry=Retry(max_attempts=3), or delay and max_delay in seconds."
        )


def _check_breaker(breaker: Any) -> None:
    if breaker is not None and not isinstance(breaker, Breaker):
        raise TypeError(
            f"breaker={breaker!r} is no Breaker. Write breaker=Breaker(errors=[GatewayAway]), with the exceptions that say that "
            "somebody else is away."
        )


def _check_limits(limits: Any) -> None:
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(
            f"limits={limits!r} is no Limits. Write limits=Limits(concurrency=2), or rate and per, or run_time."
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
