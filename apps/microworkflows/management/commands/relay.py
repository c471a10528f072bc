"""``manage.py relay``: a worker runs it beside itself; by hand it serves workers started with ``--no-relay``."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.dateparse import parse_datetime
from kombu import Connection

from microworkflows import celery_app, conf, flows, registry, times, topology
from microworkflows.checks import surroundings
from microworkflows.cloudevents import context_of
from microworkflows.management import naming
from microworkflows.management.base import Exit, KitCommand
from microworkflows.relay import companions, feeding, purger, store
from microworkflows.relay.loop import Relay

_LOOK_SECONDS = 0.5
_SAYS_EVERY_SECONDS = 2.0
_ORPHAN_SECONDS = 2.0
"""Time for an orphan to finish its batch: another relay waits for its lock, and sends unmarked messages again."""


def _broker() -> Connection:
    app = celery_app.get()
    return app.connection_for_write(heartbeat=app.conf.broker_heartbeat)


def _watch(relays: Sequence[Relay], stop: threading.Event) -> None:
    while not stop.wait(_LOOK_SECONDS):
        for relay in relays:
            relay.watch()


def _failed(relays: Sequence[Relay], threads: Sequence[threading.Thread], stop: threading.Event) -> str:
    """Return the contexts whose relay makes no progress any more, in words; empty if all do."""
    failed = [
        relay.context
        for relay, thread in zip(relays, threads, strict=True)
        if relay.is_stuck or not thread.is_alive()
    ]
    return "" if stop.is_set() else ", ".join(failed)


def _show_life(pipe: int | None, file: Path | None) -> None:
    if pipe is not None:
        # It is full, or the parent is gone: the one hears enough, the other is looked after.
        with suppress(OSError):
            os.set_blocking(pipe, False)
            os.write(pipe, b".")
    if file is not None:
        with suppress(OSError):  # it grows old, which is all that it can tell
            file.touch()


def _set_up_logging() -> None:
    """Log as a Celery worker does, and beside one at its level, unless the project's LOGGING has handlers of its own."""
    if not logging.getLogger("microworkflows").hasHandlers():
        celery_app.get().log.setup(
            loglevel=int(os.environ.get("CELERY_LOG_LEVEL") or logging.INFO),
            logfile=os.environ.get("CELERY_LOG_FILE") or None,
        )


def _time(text: str | None) -> datetime:
    """Return the time from which events are relayed again: no earlier than inboxes recognise a duplicate."""
    try:
        since = parse_datetime(text or "")
    except ValueError:
        since = None
    if since is None:
        raise CommandError(
            f"--again needs the time from which on events are relayed again, such as --since "
            f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M%z}; {text!r} is none."
        )
    since = times.aware(since)
    days = conf.current().retention_days
    if since < datetime.now(UTC) - timedelta(days=days):
        raise CommandError(
            f"{text} is more than {days} days ago (RETENTION_DAYS): inboxes may have forgotten what they handled then, "
            "and would handle it twice. Nothing was changed."
        )
    return since


def _reasons_not_to_feed(types: Sequence[str], to: str, rate: float | None) -> Iterator[str]:
    """Yield what is wrong with a feed."""
    users = conf.current().users
    if not types:
        yield "--to needs the type of the events, such as orders.order_accepted.v1."
    if to in registry.contexts() and (
        deaf := [each for each in types if not registry.listening(each, context=to)]
    ):
        yield f"No microworkflow of {to} known here listens to {', '.join(deaf)}. Deploy the one that does first."
    if strange := sorted({each for each in types if context_of(each) not in registry.contexts()}):
        yield f"{', '.join(strange)} is announced by no context installed here. Run this where its outbox is."
    if strangers := [each for each in types if users.get(context_of(each)) != users.get(to)]:
        yield (
            f"MICROWORKFLOWS['USERS'] lets nobody but {to} itself write to its queue, so {', '.join(strangers)} cannot be fed to it. "
            "Use relay --again without --to: all who hear the type get the events once more, and skip what they have."
        )
    if rate is not None and not rate > 0:
        yield f"--rate {rate:g} feeds nothing. Give more than 0."


class Command(KitCommand):
    help = (
        "Relay the events of contexts to the broker, and bring messages due for a retry back to their queues."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "queues",
            nargs="*",
            metavar="context",
            help="labels of contexts; by default all installed ones. With --to, types of events",
        )
        parser.add_argument(
            "--parent",
            type=int,
            help="stop when the process with this id is no longer the parent; before a stop, relay its last events",
        )
        parser.add_argument(
            "--life", type=int, help="show the parent that the relay lives, through the pipe with this number"
        )
        parser.add_argument(
            "--alive",
            type=Path,
            metavar="FILE",
            help="touch FILE every half second while the relays make progress, or wait for a server",
        )
        parser.add_argument(
            "--again",
            action="store_true",
            help="only make the events recorded since a time pending again, whatever became of them, and end; inboxes "
            "skip what they have",
        )
        parser.add_argument("--since", help="for --again: that time, such as 2026-01-31T12:00+01:00")
        parser.add_argument(
            "--type", action="append", default=[], dest="types", help="for --again: only events of this type"
        )
        parser.add_argument(
            "--to",
            metavar="CONTEXT",
            help="for --again: only to the queue of this context, what it was not due to get before; a run that was stopped goes on "
            "when the command is given again",
        )
        parser.add_argument(
            "--rate", type=float, help="for --to: most events in a second; by default as fast as it goes"
        )

    def handle(
        self,
        *args: Any,
        queues: list[str],
        parent: int | None,
        life: int | None,
        alive: Path | None,
        again: bool,
        since: str | None,
        types: list[str],
        to: str | None,
        rate: float | None,
        **options: Any,
    ) -> None:
        _set_up_logging()
        surroundings.raise_for(surroundings.problems_at_start(celery_app.get()))
        if to is not None and again:
            self._feed([*queues, *types], to=to, since=_time(since), rate=rate)
            return
        known = topology.queues()
        naming.check_contexts(queues, known)
        if again:
            naming.check_types(types)
            number = store.relay_again(queues or known, types=types, since=_time(since))
            self.stdout.write(f"{number} events are pending again; their relay publishes them once more.")
            return
        if since or types or to or rate:
            raise CommandError("--since, --type, --to and --rate belong to --again.", returncode=Exit.MISUSED)
        # Beside a worker of the router's own queue, such as the monolith's, the events of every context are recorded.
        serves_router = not set(queues).isdisjoint(flows.router.queues())
        relayed = queues if queues and not serves_router else known
        self._relay(relayed, parent=parent, life=life, alive=alive)

    def _feed(self, types: Sequence[str], *, to: str, since: datetime, rate: float | None) -> None:
        """Bring events of these types to the queue of one context; the relays of those that announced them do it."""
        for problem in _reasons_not_to_feed(types, to, rate):
            raise CommandError(f"{problem} Nothing was changed.")
        for event_type in types:
            feed = feeding.Feed(event_type=event_type, to=to, since=since, until=datetime.now(UTC))
            oldest = feed.oldest_kept
            if oldest is None or oldest > since:
                kept = f"the oldest kept is of {oldest:%Y-%m-%d %H:%M:%S%z}" if oldest else "none is kept"
                self._say(f"{event_type}: {kept}; what was recorded before, if anything, has been purged.")
            left, said = feed.left, time.monotonic()
            self._say(f"{event_type}: {left:,} events for {to}.")
            try:
                for progress in feed.run(rate=rate):
                    if (
                        time.monotonic() - said >= _SAYS_EVERY_SECONDS
                        or progress.fed >= left > 0 == progress.waiting
                    ):
                        said = time.monotonic()
                        waits = f"; {progress.waiting:,} wait for their relay" if progress.waiting else ""
                        self._say(f"{event_type}: {progress.fed:,} of {left:,} fed to {to}{waits}.")
            except KeyboardInterrupt:
                raise CommandError(
                    "Interrupted. Give the command again to go on: nothing is lost, and nothing is done twice.",
                    returncode=130,
                ) from None
            if unheard := feed.unheard:
                raise CommandError(
                    f"{unheard:,} of them are unheard: the broker has no queue {topology.name(to)!r}. Start a worker of {to}, then "
                    "relay them by manage.py unheard --relay."
                )

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _relay(
        self, contexts: Sequence[str], *, parent: int | None, life: int | None, alive: Path | None
    ) -> None:
        """Relay contexts until told to stop, or until the parent is gone.

        Raises:
            CommandError: a relay ended by itself, or nothing helps it on; whoever started this process starts it again. Or
                a queue belongs to another project.
        """
        if alive is not None:
            alive.touch()  # one that cannot be made ends the relay here, where somebody looks
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relays = [Relay(queue, broker=_broker, stop=stop, drain=parent is not None) for queue in contexts]
        threads = [
            threading.Thread(target=relay.run, name=f"relay-{relay.context}", daemon=True) for relay in relays
        ]
        beside = companions.start(contexts, stop)
        purger.start(stop)
        for thread in threads:
            thread.start()
        # By a thread of its own: this one looks after the parent.
        threading.Thread(target=_watch, args=[relays, stop], name="relay-watch", daemon=True).start()
        patience = None
        while not stop.wait(_LOOK_SECONDS):
            if parent is not None and os.getppid() != parent:
                patience = _ORPHAN_SECONDS
                stop.set()
            elif refusal := next((relay.refusal for relay in relays if relay.refusal), ""):
                raise CommandError(refusal)
            elif failed := _failed(relays, threads, stop):
                raise CommandError(f"The relay of {failed} ended by an error, or is stuck. Nothing is lost.")
            else:
                _show_life(life, alive)
        for thread in [*threads, *beside]:
            thread.join(patience)
