"""What must hold before the demo starts anything: each thing in the way gets a message that says what to do."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from amqp.exceptions import PreconditionFailed
from celery import current_app
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from kombu import Connection

from microworkflows import registry, topology
from microworkflows.errors import ForeignQueueError
from orders.models import Order
from project.demo.errors import NotStartedError

HOST = "127.0.0.1"
ADMIN = "admin"

_ANSWER_SECONDS = 5
_START_AFRESH = (
    "Nothing can be done about that here: delete the database (without DATABASE_URL that is `make clean`), "
    "or name an empty one in DATABASE_URL."
)


def check_debug() -> None:
    """Refuse where DEBUG is off: there the shop is somebody's real one."""
    if not settings.DEBUG:
        raise NotStartedError(
            "DEBUG is off, as in production. The demo makes an administrator with a well-known password, fills "
            "the shelves and places orders, so it runs with DEBUG=1 only. Use `make demo`, which sets it."
        )


@contextmanager
def only_demo_in(folder: Path) -> Iterator[IO[str]]:
    """Hold the lock of the folder that keeps the demo's state; yield its file, for the ids of the processes.

    The kernel drops the lock with the last process that has the file open, so a lock is never stale.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "demo.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise NotStartedError(_another_demo(folder, file.read())) from None
        yield file


def note_processes(lock: IO[str], ids: dict[str, int]) -> None:
    """Write the ids of the demo's processes into its lock file, one ``name id`` a line."""
    lock.truncate(0)
    lock.write("".join(f"{name} {pid}\n" for name, pid in ids.items()))
    lock.flush()


def check_port(port: int) -> None:
    """Refuse a port that the web server could not take."""
    if not 0 < port < 65536:
        raise NotStartedError(f"{port} is no port: choose one from 1 to 65535, as in `make demo PORT=8001`.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise NotStartedError(
                f"The web server cannot use port {port} of {HOST} ({error.strerror}): most likely another "
                "program listens there. Stop that program, or choose another port, as in "
                f"`make demo PORT={port + 1}`."
            ) from error


def check_broker() -> None:
    """Refuse a broker that does not answer, has queues made otherwise, or is being consumed from."""
    with current_app.connection_for_write(connect_timeout=_ANSWER_SECONDS) as broker:
        try:
            broker.connect()
            with broker.channel() as channel:
                topology.declare(channel)
        except ForeignQueueError as error:
            raise NotStartedError(
                f"The broker at {broker.as_uri()} serves another project: {error}"
            ) from error
        except PreconditionFailed as error:
            raise NotStartedError(
                f"The broker at {broker.as_uri()} has a queue or an exchange that another version made: {error}. "
                "Delete it there, or name a fresh virtual host in BROKER_URL."
            ) from error
        except (*broker.connection_errors, *broker.channel_errors) as error:
            raise NotStartedError(
                f"The broker at {broker.as_uri()} cannot be used: {_text(error)}. "
                "Start it, or correct BROKER_URL (server, user, password, virtual host). Without BROKER_URL the "
                "demo brings a broker of its own."
            ) from error
        if busy := _consumed_queues(broker):
            raise NotStartedError(
                f"Somebody already consumes from {', '.join(busy)} at {broker.as_uri()}: another demo, or workers "
                "started by hand. They would take this demo's messages. Stop them, or name another virtual host "
                "in BROKER_URL."
            )


def check_database() -> None:
    """Refuse a database that does not answer, is of another version, or is no demo's."""
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", _ANSWER_SECONDS)
    try:
        tables = connection.introspection.table_names()
        if "django_migrations" in tables:
            _check_migrations()
            _check_owner(tables)
        elif tables:
            raise NotStartedError(
                f"{_database()} holds tables, but none that Django made ({', '.join(sorted(tables)[:3])} …). "
                "The demo fills a database of its own: name an empty one in DATABASE_URL, or leave "
                "DATABASE_URL out."
            )
    except DatabaseError as error:
        raise NotStartedError(
            f"{_database()} cannot be used: {_text(error)}. Start the server, create the database, "
            "or correct DATABASE_URL. Without DATABASE_URL the demo brings a database of its own."
        ) from error


def check_schema() -> None:
    """Refuse a database whose tables, all migrations applied, are not those of this version's models."""
    from django.apps import apps

    introspection = connection.introspection
    with connection.cursor() as cursor:
        tables = introspection.table_names(cursor)
        for model in apps.get_models():
            table = model._meta.db_table
            wanted = {field.column for field in model._meta.concrete_fields if field.column}
            found = (
                {column.name for column in introspection.get_table_description(cursor, table)}
                if table in tables
                else set()
            )
            if wanted != found:
                differing = ", ".join(sorted(wanted ^ found))
                raise NotStartedError(
                    f"{_database()} was made by another version of the shop: its table {table} differs in "
                    f"{differing}. {_START_AFRESH}"
                )


def _check_migrations() -> None:
    loader = MigrationLoader(connection)
    known = set(loader.disk_migrations or ()) | {
        old for migration in loader.replacements.values() for old in migration.replaces
    }
    unknown = sorted(
        f"{app}.{name}" for app, name in loader.applied_migrations or () if (app, name) not in known
    )
    if unknown:
        names = ", ".join(unknown[:3]) + (" …" if unknown[3:] else "")
        raise NotStartedError(
            f"{_database()} was made by another version of the shop, or by another project: it has migrations "
            f"that are unknown here ({names}). {_START_AFRESH}"
        )


def _check_owner(tables: list[str]) -> None:
    """A demo's database has the user that the demo made first of all; a shop that has none of it is left alone."""
    users = get_user_model()._default_manager
    if users.model._meta.db_table not in tables or users.filter(username=ADMIN).exists():
        return
    if users.exists() or (Order._meta.db_table in tables and Order.objects.exists()):
        raise NotStartedError(
            f"{_database()} has users or orders, but no user {ADMIN!r}, so no demo made it. The demo would change its "
            "stock and place orders: name an empty database in DATABASE_URL, or leave DATABASE_URL out."
        )


def _database() -> str:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"The database {database['NAME']}"
    return f"The database {database['NAME']!r} at {database['HOST']}:{database['PORT'] or 5432}"


def _consumed_queues(broker: Connection) -> list[str]:
    channel: Any
    with broker.channel() as channel:
        return [
            context
            for context in registry.contexts()
            if channel.queue_declare(topology.name(context), passive=True).consumer_count
        ]


def _another_demo(folder: Path, noted: str) -> str:
    ids = {
        name: int(pid)
        for name, _, pid in (line.partition(" ") for line in noted.splitlines())
        if pid.isdigit()
    }
    demo = ids.pop("demo", None)
    if demo is None or _is_alive(demo):
        return (
            f"Another demo{f' (process {demo})' if demo else ''} runs on the state in {folder}. End it with Ctrl-C in "
            "its terminal, or run this one in a clone of its own."
        )
    groups = " ".join(f"-{pid}" for pid in ids.values())
    return (
        f"An earlier demo (process {demo}) was killed, and processes that it had started still work on the state in "
        f"{folder}. End them, by which nothing is lost: kill -9 -- {groups}"
    )


def _text(error: BaseException) -> str:
    """Return what an error says, in one line and without its full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
