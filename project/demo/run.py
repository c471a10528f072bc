"""One run of the demo: everything is prepared and started, orders are placed and watched, and all of it is ended."""

import logging
import os
import time
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import connection
from rich.console import Console

from microworkflows import registry
from project.demo import orders, preconditions, preparation, processes, screen
from project.demo.errors import StoppedError
from project.demo.interruption import INTERRUPTED, Interruption

_START_SECONDS = 60.0
_SETTLE_SECONDS = 60.0
_EARLIER_SECONDS = 20.0
_LOOK_SECONDS = 0.15
_BETWEEN_ORDERS_SECONDS = 0.1
_SERVE_LOOK_SECONDS = 0.3


def run(*, port: int, serve: bool) -> int:
    """Run the demo, and return its exit code.

    Args:
        port: Where the admin is served.
        serve: Serve it until Ctrl-C, rather than end once every order has.

    Raises:
        NotStartedError: something is in the way.
        ProcessFailedError: one of its processes does not run.
    """
    preconditions.check_debug()
    os.umask(0o077)  # its logs tell who ordered what
    with preconditions.only_demo_in(settings.VAR_DIR) as lock:
        preconditions.check_port(port)
        preconditions.check_broker()
        preconditions.check_database()
        return _Demo(port=port, lock=lock).run(serve=serve)


class _Demo:
    """One run, from the first process to the last."""

    def __init__(self, *, port: int, lock: IO[str]) -> None:
        self._port = port
        self._console = Console(highlight=False)
        self._interruption = Interruption()
        self._logs: Path = settings.VAR_DIR / "log"
        self._processes = processes.Processes(
            [processes.web(port), *map(processes.worker, registry.contexts())],
            folder=settings.BASE_DIR,
            logs=self._logs,
            environment=_environment(),
            lock=lock,
            interruption=self._interruption,
            tell=lambda sentence: self._say(f"↻ {sentence}", "yellow"),
        )

    def run(self, *, serve: bool) -> int:
        """Run; return the exit code: 0 when every order ended as expected, or Ctrl-C ended a demo that serves."""
        _log_to(self._logs / "demo.log")
        self._interruption.listen()
        code = 0 if serve else INTERRUPTED
        try:
            shop = self._prepare()
            self._start()
            code = 0 if self._conclude(self._watch_orders()) else 1
            if serve:
                url = f"http://localhost:{self._port}/admin/"
                screen.invite(self._console, url=url, shop=shop, logs=f"{self._logs}/")
                self._serve()
        except StoppedError:
            self._say("")
        finally:
            try:
                self._say("Ending every process … (Ctrl-C once more: at once)", "dim")
            finally:  # whatever became of the terminal
                self._processes.stop()
        self._say("Every process has ended.", "dim")
        return code

    def _prepare(self) -> preparation.Shop:
        self._say(f"Preparing the database ({connection.vendor}) …", "dim")
        shop = preparation.open_shop()
        if shop.earlier_orders:
            self._say(f"Orders from before are kept: {shop.earlier_orders}.", "dim")
        self._interruption.pause(0)
        return shop

    def _start(self) -> None:
        began = time.monotonic()
        contexts = registry.contexts()
        self._say(f"Starting the web server and {len(contexts)} workers: {', '.join(contexts)} …", "dim")
        self._processes.start()
        self._processes.wait_until_ready(seconds=_START_SECONDS)
        self._say(f"All are ready after {time.monotonic() - began:.1f} s.", "dim")

    def _watch_orders(self) -> list[orders.Placed]:
        """Place the orders and show them until all have settled, or time is up."""
        self._let_earlier_orders_end()
        preparation.fill_shelves()
        placed: list[orders.Placed] = []
        ahead = list(orders.WISHES)
        deadline = time.monotonic() + _SETTLE_SECONDS
        self._say("")
        with screen.screen(self._console, total=len(ahead)) as view:
            while time.monotonic() < deadline:
                if ahead:
                    placed.append(orders.place(ahead.pop(0)))
                self._processes.watch()
                view.show(placed, changed=orders.look(placed))
                if not ahead and all(one.settled for one in placed):
                    break
                self._interruption.pause(_BETWEEN_ORDERS_SECONDS if ahead else _LOOK_SECONDS)
        return placed

    def _let_earlier_orders_end(self) -> None:
        """Wait for what an earlier run left on its way: it would take from the stock that this one counts on."""
        deadline = time.monotonic() + _EARLIER_SECONDS
        told = False
        while (number := orders.travelling_from_before()) and time.monotonic() < deadline:
            if not told:
                self._say(f"Orders from before that are still on their way: {number}. They go first …", "dim")
                told = True
            self._processes.watch()
            self._interruption.pause(_LOOK_SECONDS)
        if number:
            self._say(f"{number} of them do not move; the admin shows why.", "yellow")

    def _conclude(self, placed: list[orders.Placed]) -> bool:
        found = orders.problems(placed)
        screen.summarize(self._console, placed, found=found)
        if found:
            logs = ", ".join(str(self._logs / f"{context}.log") for context in orders.contexts_to_ask(placed))
            self._say(f"  What happened stands in {logs}.", "red")
        screen.tell_journey(self._console, max(placed, key=lambda one: one.took))
        return not found

    def _serve(self) -> None:
        connection.close()
        while True:
            self._processes.watch()
            self._interruption.pause(_SERVE_LOOK_SECONDS)

    def _say(self, text: str, style: str = "") -> None:
        screen.say(self._console, text, style)


def _environment() -> dict[str, str]:
    """Return what the processes run with: DATABASE_URL, BROKER_URL and the rest as given, on this machine alone."""
    environment = dict(os.environ)
    for name in ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "HTTPS"):
        environment.pop(name, None)  # the web server is asked on localhost, by http
    return {
        **environment,
        # As in production: with DEBUG on, Celery and Django keep every query, and Celery warns of it.
        "DEBUG": "0",
        "SECRET_KEY": settings.SECRET_KEY,
        "LOG_LEVEL": "INFO",  # a worker says at this level that it is ready
        "PYTHONUNBUFFERED": "1",
        "WORKER_CONCURRENCY": os.environ.get("WORKER_CONCURRENCY", "").strip() or "2",
    }


def _log_to(file: Path) -> None:
    """Send what this process logs to a file: the terminal is for the orders."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    handler = logging.FileHandler(file, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("{asctime} {levelname:<7} {name}: {message}", style="{"))
    root.addHandler(handler)
