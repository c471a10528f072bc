"""``manage.py dev``: web server, worker and relay in one terminal, started again when code changes; Ctrl-C ends them all."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery
from django.core.management.base import CommandError, CommandParser
from django.utils import autoreload

from microworkflows import celery_app
from microworkflows.management.base import KitCommand
from microworkflows.management.changes import Changes
from microworkflows.management.programs import Program

_APPS: dict[str, Callable[[], Celery | None]] = {"worker": celery_app.get, "tasks": celery_app.own}
"""The workers' names here, and their Celery apps: that of the events, and that of the project's own tasks if it has another."""


class Command(KitCommand):
    help = (
        "Runs in this terminal the web server, a worker of all contexts and of the project's own tasks, and their relay, and "
        "starts them again when code changes. Ctrl-C ends all of them."
    )
    requires_system_checks = []  # the web server runs them, and the worker those that keep it from starting

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("addrport", nargs="?", help="port number, or ipaddr:port, as runserver takes it")
        parser.add_argument(
            "--ipv6", "-6", action="store_true", help="use an IPv6 address, as runserver does"
        )
        parser.add_argument(
            "--worker", choices=_APPS, help=argparse.SUPPRESS
        )  # the command's own call of itself

    def handle(self, *args: Any, worker: str | None, **options: Any) -> None:
        if worker is None:
            for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had the former ignored
                signal.signal(number, signal.default_int_handler)
            with suppress(KeyboardInterrupt):
                self._run()
        elif (app := _APPS[worker]()) is not None:
            app.worker_main(["worker", "--loglevel", "INFO", "--hostname", f"{worker}@%h"])
        else:
            raise CommandError(
                "The own tasks have no Celery app of their own (any more). Start `manage.py dev` anew."
            )

    def _run(self) -> None:
        self._lock = threading.Lock()
        workers = [self._program(name, "dev", "--worker", name) for name, app in _APPS.items() if app()]
        web = self._program("web", "runserver")  # it has a reloader of its own
        with ExitStack() as running:
            for program in (*workers, web):
                running.callback(program.end)  # the web server ends first, and nothing begins any more
                program.start()
            self._keep(web, *workers)

    def _keep(self, web: Program, *workers: Program) -> None:
        """Start the workers again at each change, and whoever has ended by itself at the next one: it needs another code."""
        ended = set[Program]()
        for changed in Changes():
            for program in (web, *workers):
                if changed and (program in workers or program in ended):
                    ended.discard(program)
                    self._say("dev", f"{_short(changed[0])} has changed: {program.name} is started again")
                    program.start()
                elif program.status is not None and program not in ended:
                    ended.add(program)
                    self._say(
                        "dev",
                        f"{program.name} has ended with status {program.status}; it is started again when code changes",
                    )

    def _program(self, name: str, command: str, *options: str) -> Program:
        """Return a program that is called as this command was, with its options: by manage.py, or otherwise."""
        called, own = autoreload.get_child_arguments(), sys.argv[1:]
        return Program(
            name,
            [*called[: len(called) - len(own)], command, *own[1:], *options],
            tell=partial(self._say, name),
        )

    def _say(self, name: str, line: str) -> None:
        styles = {"web": self.style.MIGRATE_HEADING, "dev": self.style.WARNING}
        with self._lock:
            self.stdout.write(f"{styles.get(name, self.style.SUCCESS)(f'{name:<6} |')} {line}")
            self.stdout.flush()


def _short(path: Path) -> str:
    """Return a path as seen from here, if it is below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
