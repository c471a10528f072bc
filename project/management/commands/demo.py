"""``manage.py demo``: the whole shop on this machine, with a dozen orders on their way; Ctrl-C ends all of it."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from project.demo.errors import NotStartedError
from project.demo.interruption import INTERRUPTED


class Command(BaseCommand):
    help = (
        "Starts the shop (web server and one Celery worker per app), places a dozen orders, shows their journeys live "
        "and serves the admin until Ctrl-C. DATABASE_URL and BROKER_URL choose PostgreSQL and RabbitMQ."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the web server (default: 8000)")
        parser.add_argument(
            "--exit",
            action="store_true",
            help="end once every order has; exit code 0 if each ended as expected",
        )

    def handle(self, *args: Any, port: int, exit: bool, **options: Any) -> None:  # noqa: A002  (the option's name)
        if settings.SERVICE:
            raise NotStartedError(
                f"SERVICE is {settings.SERVICE!r}, so only that app is here, and the demo needs the whole shop. Unset "
                "SERVICE, or place an order in the admin of the service orders."
            )
        try:
            from project.demo.run import run  # not before: it imports every app
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "rich":
                raise
            raise NotStartedError(
                "The demo draws its screen with rich, which is not installed: an image holds what production needs. Run "
                "`make demo` in a checkout, or install requirements/demo.lock."
            ) from error

        # An exotic terminal shows "?" for a tick mark, rather than an error.
        getattr(sys.stdout, "reconfigure", lambda **_: None)(errors="replace")
        try:
            code = run(port=port, serve=not exit)
        except KeyboardInterrupt:  # before anything was started
            code = INTERRUPTED
        if code:
            sys.exit(code)
