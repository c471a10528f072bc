"""What a handler of the context ``probe`` can be told to do, good and bad."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.db import IntegrityError, connection, transaction

from microworkflows import PermanentError
from microworkflows.events import Event
from tests.integration.probe import limits
from tests.integration.probe.events import Asked

_LONGEST_SECONDS = 600


def effect(workflow: str, event: Event) -> None:
    """Do what must be done once: doing it again violates a unique constraint."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO probe_effect (workflow, event_id) VALUES (%s, %s)", [workflow, str(event.meta.id)]
        )


class GatewayAwayError(Exception):
    """Nobody answers: the test has not made the file that stands for the gateway."""


def ask_gateway(event: Asked) -> None:
    """Ask a gateway that answers once a second file is there."""
    leave_trace(event)
    if not Path(f"{event.file}.up").exists():
        raise GatewayAwayError("nobody answers at the gateway")


def leave_trace(event: Asked) -> int:
    """Note, outside the transaction, that the handler runs; return which run it is."""
    with Path(event.file).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return len(Path(event.file).read_text().splitlines())


def last(event: Asked) -> None:
    """Note, outside the transaction, when the run begins and ends; it takes as many milliseconds as ``times`` says."""
    for sign in "+-":
        with Path(event.file).open("a") as file:
            file.write(f"{sign} {time.time()} {os.getpid()}\n")
        if sign == "+":
            time.sleep(event.times / 1000)


def hold(event: Asked) -> None:
    """Wait, having left a trace, until the test makes a second file."""
    leave_trace(event)
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not Path(f"{event.file}.go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody made {event.file}.go")
        time.sleep(0.02)


def die_at_first(event: Asked) -> None:
    """Kill the process that handles the event, as often as ``times`` says."""
    if leave_trace(event) <= event.times:
        time.sleep(
            0.1
        )  # until the parent knows who has the message; else it takes Celery five seconds to miss it
        os.kill(os.getpid(), signal.SIGKILL)


def hold_and_die(event: Asked) -> None:
    """Wait as :func:`hold` does, then kill the process, as often as ``times`` says."""
    hold(event)
    if len(Path(event.file).read_text().splitlines()) <= event.times:
        os.kill(os.getpid(), signal.SIGKILL)


def fail_at_first(event: Asked) -> None:
    if (run := leave_trace(event)) <= event.times:
        raise RuntimeError(f"failed on purpose, run {run}")


def fail_then_die(event: Asked) -> None:
    if leave_trace(event) == 1:
        raise RuntimeError("failed on purpose, run 1")
    time.sleep(0.1)  # as above
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(event: Asked) -> None:
    raise PermanentError("refused on purpose")


def end_python(event: Asked) -> None:
    if leave_trace(event) <= event.times:
        raise SystemExit(3)


def swallow(event: Asked) -> None:
    """Catch a database error without a savepoint of one's own: the transaction is broken from here on."""
    if leave_trace(event) > event.times:
        return
    with suppress(IntegrityError):
        effect("probe.answer", event)


def swallow_in_orm(event: Asked) -> None:
    """The same, as Django's ORM does it: it marks the transaction as one that can only be rolled back."""
    if leave_trace(event) <= event.times:
        transaction.set_rollback(True)


def stumble_after_commit(event: Asked) -> None:
    def fail() -> None:
        raise RuntimeError("failed on purpose after the commit")

    transaction.on_commit(fail)


def lock(event: Asked) -> None:
    """Lock one of two rows, so to say; who handles several in one transaction comes to lock both."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [event.number % 2])
    time.sleep(0.004)


def raise_in_database(event: Asked) -> None:
    """Have PostgreSQL raise the SQLSTATE in ``padding``, as often as ``times`` says."""
    if leave_trace(event) <= event.times:
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE 'on purpose' USING ERRCODE = '{event.padding}'; END $$")


def execute(event: Asked) -> None:
    """Have PostgreSQL execute the statements in ``padding``, as often as ``times`` says."""
    if leave_trace(event) <= event.times:
        with connection.cursor() as cursor:
            cursor.execute(event.padding)


def lose_session(event: Asked) -> None:
    """End the session that the handler works in, as often as ``times`` says."""
    if leave_trace(event) <= event.times:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def note_session(event: Asked) -> None:
    """Note in which of the database's sessions the handler runs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        Path(event.file).write_text(str(cursor.fetchone()[0]))


def note_limits(event: Asked) -> None:
    """Note which limits the session has in which the handler runs."""
    Path(event.file).write_text(limits.of_this_session())


def lock_both(event: Asked) -> None:
    """Take two locks, in an order that depends on the event: two such handlers may wait for each other."""
    first = event.number % 2
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL deadlock_timeout = '20ms'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [first])
        time.sleep(0.02)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [1 - first])


def count_all(event: Asked) -> None:
    """Read the rows that other handlers write: serializable transactions cannot all commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM probe_effect")
    time.sleep(0.01)


_NOT_EXCEPTIONS = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


def raise_what_is_no_exception(event: Asked) -> None:
    """Raise the BaseException in ``padding``, as often as ``times`` says."""
    if leave_trace(event) <= event.times:
        raise next(each for each in _NOT_EXCEPTIONS if each.__name__ == event.padding)


def raise_after_commit(event: Asked) -> None:
    """The same in a hook, after the commit."""
    transaction.on_commit(lambda: raise_what_is_no_exception(event))


BEHAVIOURS: dict[str, Callable[[Asked], object]] = {
    "ok": lambda event: None,
    "trace": leave_trace,
    "last": last,
    "pause": lambda event: time.sleep(0.05),
    "lock": lock,
    "hold": hold,
    "hold_emit": hold,
    "die": die_at_first,
    "hold_die": hold_and_die,
    "fail": fail_at_first,
    "fail_then_die": fail_then_die,
    "refuse": refuse,
    "end": end_python,
    "swallow": swallow,
    "swallow_in_orm": swallow_in_orm,
    "stumble": stumble_after_commit,
    "emit": lambda event: None,
    "sql": raise_in_database,
    "execute": execute,
    "lose": lose_session,
    "session": note_session,
    "limits": note_limits,
    "embrace": lock_both,
    "count": count_all,
    "raise": raise_what_is_no_exception,
    "raise_later": raise_after_commit,
    "gateway": ask_gateway,
}
