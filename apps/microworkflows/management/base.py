"""How each command of the kit ends, so that people and monitoring can rely on it: with its answer, or one line and an exit code."""

import json
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from amqp.exceptions import AMQPError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, InterfaceError, OperationalError
from kombu.exceptions import KombuError

from microworkflows import database_errors, texts
from microworkflows.errors import BrokerUnavailableError, MicroworkflowsError


class Exit(IntEnum):
    """Exit codes of the kit's commands."""

    GOOD = 0
    """It is done, and what was looked at is well."""
    FOUND = 1
    """Something was found that somebody has to act on, or the command was refused."""
    MISUSED = 2
    """The command was not given right: an unknown name or option."""
    UNKNOWN = 3
    """Nobody can tell, because the database or the broker is away, or not all could be looked at."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it."""
    UNREAD = 141
    """Nobody reads the output any more, as shells count it; such as after ``| head``."""


class Answering:
    """Ends a command of Django's by one line and a code in place of a traceback, if a server is away or nobody reads on."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command, its checks too.

        Raises:
            CommandError: with the exit code, unless it is done.
        """
        with _told():
            output: str | None = super().execute(*args, **options)  # type: ignore[misc]  # mixed into BaseCommand
            sys.stdout.flush()
        return output


class KitCommand(Answering, BaseCommand):
    """A command of the kit."""

    def say_json(self, value: object) -> None:
        """Write a value as JSON."""
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))


def add_format(parser: CommandParser) -> None:
    """Add the option ``--format``, for each command that lists or reports."""
    parser.add_argument("--format", choices=["text", "json"], default="text", help="by default text")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError("Interrupted.", returncode=Exit.INTERRUPTED) from None
    except Error as error:
        if not isinstance(error, OperationalError | InterfaceError) and not database_errors.is_not_migrated(
            error
        ):
            raise  # a fault of ours
        what = (
            "lacks a table; run manage.py migrate"
            if database_errors.is_not_migrated(error)
            else "does not answer"
        )
        raise CommandError(f"The database {what}: {_line(error)}", returncode=Exit.UNKNOWN) from error
    except (BrokerUnavailableError, AMQPError, KombuError, ConnectionError) as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            raise _unread() from None
        raise CommandError(f"The broker does not answer: {_line(error)}", returncode=Exit.UNKNOWN) from error
    except MicroworkflowsError as error:
        raise CommandError(str(error)) from error


def _line(error: BaseException) -> str:
    said = texts.line(error)
    return said if isinstance(error, BrokerUnavailableError) else f"{type(error).__name__}: {said}"


def _is_unread() -> bool:
    """Return True if the other end of the standard output is closed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _unread() -> SystemExit:
    # What is buffered would be written at the very end, and fail once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return SystemExit(int(Exit.UNREAD))
