"""Dead letters: messages in the queues ``<context>.dead``, each with its reason; read, requeued or dropped one by one.

Nobody consumes these queues. Whoever looks takes the messages for a moment and gives them back, to their places, as they
were; a crash in between gives them back, too.
"""

import hashlib
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any, Final

from amqp.exceptions import MessageNacked
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from kombu import Connection

from microworkflows import celery_app, cloudevents, conf, texts, topology, trust
from microworkflows.errors import BrokerUnavailableError, InvalidCloudEventError, MicroworkflowsError
from microworkflows.ids import uuid7
from microworkflows.relay import amqp_internals
from microworkflows.relay.publisher import login
from microworkflows.subjects import Subject

PREFIX: Final = "microworkflows-dead-letter-"
"""Begins the headers that the kit adds to a dead letter."""

REASON, QUEUE, KEY, AT, WORKER, ID = (
    f"{PREFIX}{name}" for name in ("reason", "queue", "routing-key", "at", "worker", "id")
)
_LEFT_OUT: Final = f"{PREFIX}property-"
"""Begins the headers that keep properties which a broker would obey once more: see :data:`_CARRIED`."""

_CARRIED: Final = (
    *("content_type", "content_encoding", "priority", "correlation_id"),
    *("message_id", "timestamp", "type", "app_id"),
)
"""Properties that a message keeps when it is published again.

The others are orders to the broker, and belong to the first publisher: ``expiration`` would delete the dead letter,
``user_id`` and ``reply_to`` would be refused.
"""
_OBEYED_HEADERS: Final = frozenset({"CC", "BCC", topology.DELIVERY_COUNT})
"""Headers that a broker obeys or counts itself: ``CC`` and ``BCC`` would bring the message to further queues."""
_DEATH_HEADERS: Final = ("x-death", "x-first-death-", "x-last-death-")
_LONGEST_REASON: Final = 1_000
_MOST_HELD: Final = 10_000
_MOST_HELD_AS_FILES: Final = 400
"""Messages that a look holds at most. With the embedded broker, each is an open file."""


class RequeueRefusedError(MicroworkflowsError):
    """The queue did not take a dead letter back; it stays where it is."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message in a dead-letter queue."""

    id: str
    """Fingerprint of the message: the same at every look."""
    queue: str
    """Queue that it was consumed from: a context's label, or one of the router's."""
    reason: str
    """Why it is dead, on one line."""
    routing_key: str
    """Routing key that it came by."""
    at: datetime | None
    """Time at which it became a dead letter; None if unknown."""
    worker: str
    """Host and kit version of the worker that refused it; empty if the broker itself gave up on it."""
    content_type: str | None
    body: bytes
    headers: Mapping[str, Any]

    @property
    def own_headers(self) -> dict[str, Any]:
        """Its headers as it came, without those that the kit added for what the fields above say."""
        added = (REASON, QUEUE, KEY, AT, WORKER, ID)
        return {name: value for name, value in self.headers.items() if name not in added}

    @property
    def subject(self) -> Subject | None:
        """The object that the event's flow is about; None if it says nothing of it, or is none that can be read."""
        try:
            body = json.loads(self.body)
            return cloudevents.subject_of(body) if isinstance(body, dict) else None
        except (ValueError, RecursionError, InvalidCloudEventError):
            return None

    @property
    def text(self) -> str:
        """Its body as text; bytes that are none are replaced."""
        return self.body.decode(errors="replace")

    def __str__(self) -> str:
        """Return the dead letter for a line."""
        at = _("at an unknown time") if self.at is None else f"{self.at:%Y-%m-%d %H:%M:%S}Z"
        return f"{self.id}  {at}  {texts.line(self.reason, longest=_LONGEST_REASON, translated=True)}"


@dataclass(kw_only=True)
class Look:
    """The outcome of a look into one dead-letter queue."""

    count: int = 0
    """Number of messages there when the look began, less those that somebody else was looking at."""
    letters: list[Letter] = field(default_factory=list)
    """The dead letters asked for, oldest first."""

    @property
    def unseen(self) -> int:
        """Number of messages that the look did not reach."""
        return max(self.count - len(self.letters), 0)


def reason_headers(error: BaseException, *, queue: str, routing_key: str) -> dict[str, str]:
    """Return the headers that tell why, where and when a message was refused, and by whom; with a new id."""
    return {
        REASON: texts.line(error, longest=_LONGEST_REASON),
        QUEUE: queue,
        KEY: routing_key,
        AT: datetime.now(tz=UTC).isoformat(),
        WORKER: _this_worker(),
        ID: str(uuid7()),
    }


@cache
def _this_worker() -> str:
    try:
        version = metadata.version("django-microworkflows")
    except metadata.PackageNotFoundError:
        version = "of an unknown version"
    return f"{socket.gethostname()}, django-microworkflows {version}"


def carried(message: Any) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Return body, properties and headers with which a message that Kombu read is published again, unchanged.

    What would be an order to the broker is left out; such properties are kept as headers. The body must be as it came.
    """
    headers = {
        name: value
        for name, value in message.headers.items()
        if name not in _OBEYED_HEADERS and not str(name).startswith(PREFIX)
    }
    properties: dict[str, Any] = {"delivery_mode": 2}
    for name, value in message.properties.items():
        if name in _CARRIED:
            properties[name] = value
        elif name in ("user_id", "expiration", "reply_to", "cluster_id"):
            headers[f"{_LEFT_OUT}{name.replace('_', '-')}"] = str(value)
    properties |= {"content_type": message.content_type, "content_encoding": message.content_encoding}
    return _bytes(message.body), properties, headers


def prepared(message: Any, *, channel: Any, headers: Mapping[str, Any], queue: str, user: str) -> Any:
    """Return a message that Kombu read, to be published once more; see :func:`carried`.

    Args:
        message: The message.
        channel: The channel to publish it on.
        headers: Further headers.
        queue: The queue that it was consumed from.
        user: The user who publishes it now; empty if the broker has none. Who published it first stays known.
    """
    body, properties, own_headers = carried(message)
    if user:
        properties["user_id"] = user
        own_headers[trust.PUBLISHER] = trust.publisher(message, queue=queue)
    return channel.prepare_message(
        body,
        priority=properties.pop("priority", None),
        content_type=properties.pop("content_type"),
        content_encoding=properties.pop("content_encoding"),
        headers={**own_headers, **headers},
        properties=properties,
    )


def publish(channel: Any, message: Any, *, routing_key: str) -> Any:
    """Publish a prepared message through the exchange of the events; mandatory."""
    return channel.basic_publish(
        message,
        exchange=topology.exchange().name,
        routing_key=routing_key,
        mandatory=True,
    )


class DeadLetters:
    """The dead letters of one broker, over one connection; see :func:`opened`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver = str(connection.transport.driver_type)
        self._channel: Any = None

    def look(self, queue: str, *, most: int) -> Look:
        """Return the oldest dead letters of a queue; they stay there, as they are.

        A queue that nobody has declared yet has none.
        """
        found = Look()

        def keep(letter: Letter, message: Any) -> bool:
            found.letters.append(letter)
            return False

        found.count = self._each(queue, keep, most=most)
        return found

    def find(self, queue: str, wanted: Callable[[Letter], bool], *, most: int) -> Look:
        """Return the dead letters of a queue that are wanted; all stay there, as they are.

        Those beyond ``most`` come without body and headers, so that very many have room.
        """
        found = Look()

        def keep(letter: Letter, message: Any) -> bool:
            if wanted(letter):
                whole = len(found.letters) < most
                found.letters.append(letter if whole else replace(letter, body=b"", headers={}))
            return False

        found.count = self._each(queue, keep)
        return found

    def requeue(self, queue: str, ids: Collection[str], done: list[Letter]) -> None:
        """Bring dead letters back to the queue that they came from, without the headers that the kit added.

        Each is removed only after the broker has confirmed that the queue has it.

        Args:
            queue: Queue that they came from.
            ids: Their ids.
            done: Takes each one when it is back. One that is missing in the end was there no longer.

        Raises:
            RequeueRefusedError: the queue does not take one; it and those after it stay where they are.
        """

        refusals: tuple[type[BaseException], ...] = (MessageNacked, *self._connection.channel_errors)

        def bring_back(letter: Letter, message: Any) -> None:
            if amqp_internals.UNREADABLE in message.headers:
                raise RequeueRefusedError(
                    _(
                        "The properties of %(id)s cannot be read, so it cannot be sent again as it was. It stays in "
                        "%(dead)r; drop it, or move it by the broker's own tools."
                    )
                    % {"id": letter.id, "dead": topology.dead_letter_name(queue)}
                )
            message.headers = {
                name: value
                for name, value in message.headers.items()
                if not str(name).startswith(_DEATH_HEADERS)
            }
            try:
                again = prepared(
                    message,
                    channel=message.channel,
                    headers={},
                    queue=queue,
                    user=login(self._connection),
                )
                reached = publish(message.channel, again, routing_key=topology.name(queue))
            except refusals as error:
                raise RequeueRefusedError(
                    _(
                        "The queue %(queue)r does not take the message back (is it full, or not bound to its own name?): "
                        "%(error)s. It stays in %(dead)r; try again later."
                    )
                    % {
                        "queue": topology.name(queue),
                        "error": f"{type(error).__name__}: {texts.line(error)}",
                        "dead": topology.dead_letter_name(queue),
                    }
                ) from None
            if self._driver != "amqp" and not reached:
                raise RequeueRefusedError(
                    _(
                        "The queue %(queue)r is not bound to its own name: no worker has declared it. The message stays "
                        "in %(dead)r; start a worker, then try again."
                    )
                    % {"queue": topology.name(queue), "dead": topology.dead_letter_name(queue)}
                )

        self._remove(queue, ids, bring_back, done)

    def drop(self, queue: str, ids: Collection[str], done: list[Letter]) -> None:
        """Delete dead letters for good; ``done`` takes each, as in :meth:`requeue`."""
        self._remove(queue, ids, lambda letter, message: None, done)

    def _remove(
        self,
        queue: str,
        ids: Collection[str],
        before: Callable[[Letter, Any], None],
        done: list[Letter],
    ) -> None:
        left = set(ids)

        def remove(letter: Letter, message: Any) -> bool:
            if letter.id not in left:
                return False
            before(letter, message)
            left.discard(letter.id)
            return True

        self._each(queue, remove, enough=lambda: not left, removed=done)

    def _each(
        self,
        queue: str,
        settle: Callable[[Letter, Any], bool],
        *,
        most: int | None = None,
        enough: Callable[[], bool] = lambda: False,
        removed: list[Letter] | None = None,
    ) -> int:
        """Take each dead letter; ``settle`` returns True if it is to be removed. The others are given back at the end.

        Returns:
            The number of dead letters when the look began.
        """
        name = topology.dead_letter_name(queue)
        most_held = _MOST_HELD if self._driver == "amqp" else _MOST_HELD_AS_FILES
        seen: Counter[str] = Counter()
        held: list[Any] = []
        with self._talking() as channel:
            if (count := self._count(channel, queue)) is None:
                return 0
            try:
                # The count of a quorum queue comes late, so it is no bound for a search.
                for _ in range(min(most_held, most_held if most is None else min(count, most))):
                    # Taken before any is given back: one that is, or is dead again, must not come up again.
                    if len(held) >= most_held or enough() or (raw := channel.basic_get(name)) is None:
                        break
                    message = channel.message_to_python(raw)
                    held.append(message.delivery_tag)
                    letter = _read(message, queue, seen)
                    if settle(letter, message):
                        channel.basic_ack(message.delivery_tag)
                        held.pop()
                        if removed is not None:
                            removed.append(letter)
            finally:
                with suppress(*self._errors):  # a lost connection gives them back, too
                    for tag in held:
                        channel.basic_reject(tag, requeue=True)
        return count

    def _count(self, channel: Any, queue: str) -> int | None:
        """Return the number of messages; None if nobody has declared the queue."""
        try:
            declared = channel.queue_declare(topology.dead_letter_name(queue), passive=True)
        except self._connection.channel_errors as error:
            if "NOT_FOUND" in str(error):
                return None
            raise
        return int(declared.message_count)

    @contextmanager
    def _talking(self) -> Iterator[Any]:
        """Yield the channel, one for all looks: so the broker has obeyed the last one before the next begins."""
        try:
            if self._channel is None:
                self._channel = self._connection.channel()
                self._channel.auto_decode = False  # of py-amqp, which would read bodies by any codec
                self._channel.Message = amqp_internals.as_it_came(self._channel.Message)
            yield self._channel
        except self._errors as error:
            raise _unavailable(self._connection, error) from error

    @property
    def _errors(self) -> tuple[type[BaseException], ...]:
        return (*self._connection.connection_errors, *self._connection.channel_errors)


@contextmanager
def opened(*, seconds: float | None = None) -> Iterator[DeadLetters]:
    """Connect to the broker of the Celery app, as :func:`connected` does, to work on its dead letters."""
    with connected(seconds=seconds) as connection:
        yield DeadLetters(connection)


@contextmanager
def connected(*, seconds: float | None = None) -> Iterator[Connection]:
    """Connect to the broker of the Celery app.

    Args:
        seconds: Longest wait for one answer of the broker; by default as long as the relay waits for one.

    Raises:
        BrokerUnavailableError: it is out of reach, refuses the login, or does not answer in time.
    """
    seconds = conf.current().confirm_timeout if seconds is None else seconds
    connection: Connection = celery_app.get().connection_for_write()
    connection.connect_timeout = min(seconds, connection.connect_timeout or seconds)
    options: dict[str, Any] = {"confirm_publish": True}
    amqp_internals.keep_unreadable_properties_from_raising()
    if connection.transport.driver_type == "amqp":
        options |= {"read_timeout": seconds, "write_timeout": seconds}
    connection.transport_options = {**(connection.transport_options or {}), **options}
    try:
        try:
            connection.ensure_connection(
                max_retries=len(connection.alt) or 1,
                interval_start=0,
                interval_step=0,
                reraise_as_library_errors=False,
            )
        except (*connection.connection_errors, *connection.channel_errors) as error:
            raise _unavailable(connection, error) from error
        yield connection
    except BaseException:
        connection.collect()  # not release(), which asks the broker and waits for its answer
        raise
    connection.release()


def survey(*, most: int, seconds: float) -> dict[str, Look | BrokerUnavailableError]:
    """Look into the dead letters of every queue, for a page that must not wait long for a broker.

    Args:
        most: Most dead letters of a queue; 0 to count them only.
        seconds: Longest wait for one answer of the broker; no look begins after three times as long.

    Returns:
        What is there by queue, or why it is unknown.
    """
    found: dict[str, Look | BrokerUnavailableError] = {}
    deadline = time.monotonic() + 3 * seconds
    left = topology.queues()
    try:
        with opened(seconds=seconds) as dead_letters:
            while left and time.monotonic() < deadline:
                found[left[0]] = dead_letters.look(left[0], most=most)
                left.pop(0)
    except BrokerUnavailableError as error:
        return {**found, **dict.fromkeys(left, error)}
    late = BrokerUnavailableError(
        _("The broker took more than %(seconds)s s for the other queues.") % {"seconds": 3 * seconds}
    )
    return {**found, **dict.fromkeys(left, late)}


def _unavailable(connection: Connection, error: BaseException) -> BrokerUnavailableError:
    return BrokerUnavailableError(f"{connection.as_uri()}: {type(error).__name__}: {texts.line(error)}")


def _read(message: Any, queue: str, seen: Counter[str]) -> Letter:
    headers: dict[str, Any] = dict(message.headers)
    death = _last_death(headers)
    fingerprint = _fingerprint(message)
    seen[fingerprint] += 1
    repeated = f"-{seen[fingerprint]}" if seen[fingerprint] > 1 else ""
    if amqp_internals.UNREADABLE in headers:
        why = headers[amqp_internals.UNREADABLE]
        reason, at = _("its properties or headers cannot be read: %(why)s") % {"why": why}, None
    elif REASON in headers:
        reason, at = str(headers[REASON]), _time(headers.get(AT))
    else:
        reason, at = _reason_of_broker(death, headers), _time(death.get("time"))
    keys = death.get("routing-keys") or [headers.get("x-first-death-routing-key", "")]
    return Letter(
        id=fingerprint + repeated,
        queue=queue,
        reason=texts.line(reason, longest=_LONGEST_REASON, translated=True),
        routing_key=texts.line(headers.get(KEY) or keys[0]),
        at=at,
        worker=texts.line(headers.get(WORKER, "")),
        content_type=message.content_type,
        body=_bytes(message.body),
        headers=headers,
    )


def _reason_of_broker(death: Mapping[str, Any], headers: Mapping[str, Any]) -> str:
    """Return why the broker itself made a message a dead letter."""
    word = str(death.get("reason") or headers.get("x-first-death-reason") or "")
    if not word:
        return _("unknown: the message has no reason of the kit, nor one of the broker")
    meaning = {
        "rejected": _("a worker refused the message, and could not add why; its log says it"),
        "delivery_limit": _(
            "the message was delivered again and again, and each time its worker died or lost its connection"
        ),
        "expired": _("the message was older than its time to live, or that of its queue"),
        "maxlen": _("its queue was full"),
    }.get(word, "")
    if (count := death.get("count", 1)) != 1:
        plural = count if isinstance(count, int) else 0  # the header may come from anybody
        word = ngettext("%(word)s, %(count)s time", "%(word)s, %(count)s times", plural) % {
            "word": word,
            "count": count,
        }
    return f"{word}: {meaning}" if meaning else word


def _last_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return deaths[0]
    return {}


def _time(value: Any) -> datetime | None:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _fingerprint(message: Any) -> str:
    """Return a hash of everything that stays the same from look to look."""
    headers = {name: value for name, value in message.headers.items() if name != topology.DELIVERY_COUNT}
    properties = {name: message.properties.get(name) for name in _CARRIED}
    parts = sorted(map(repr, headers.items())), sorted(map(repr, properties.items()))
    return hashlib.sha256(repr(parts).encode(errors="replace") + _bytes(message.body)).hexdigest()[:12]


def _bytes(body: Any) -> bytes:
    return body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body or b"")
