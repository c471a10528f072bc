"""A project whose own tasks have a Celery app and a broker of their own, beside those of the events."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.support.processes import Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

FILES = {
    "inn/__init__.py": """
from inn.celery import app
from inn.events import events_app

__all__ = ["app", "events_app"]
""",
    "inn/settings.py": """
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "of a test"
INSTALLED_APPS = ["django_outbox_pattern", "microworkflows", "rooms", "cleaning"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
CELERY_BROKER_URL = "filesystem://"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    name: str(BASE_DIR / "tasks") for name in ("data_folder_in", "data_folder_out", "control_folder")
}
CELERY_TASK_ROUTES = {"rooms.tasks.greet": {"queue": "rooms"}}
EVENTS_BROKER_URL = f"embedded://{BASE_DIR / 'events'}"
EVENTS_IMPORTS = "rooms.tasks"
EVENTS_TASK_QUEUES = {"other": {"exchange": "other"}}
EVENTS_TASK_ANNOTATIONS = {"*": {"acks_late": False, "rate_limit": "1/h"}}
""",
    "inn/celery.py": """
import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "inn.settings")
app = Celery("inn")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
""",
    "inn/events.py": """
from celery import Celery

from inn.celery import app
from microworkflows.worker import setup

events_app = Celery("inn.events", set_as_current=False)
events_app.config_from_object("django.conf:settings", namespace="EVENTS")
setup(events_app, tasks=app)
""",
    "rooms/__init__.py": "",
    "rooms/events.py": """
from microworkflows import DomainEvent


class RoomBooked(DomainEvent, type="rooms.room_booked.v1"):
    number: int
""",
    "rooms/tasks.py": """
from pathlib import Path

from celery import shared_task


@shared_task
def greet(guest: str) -> None:
    Path("greeted").write_text(guest)
""",
    "cleaning/__init__.py": "",
    "cleaning/events.py": """
from microworkflows import IncomingEvent


class RoomBooked(IncomingEvent, type="rooms.room_booked.v1"):
    number: int
""",
    "cleaning/workflows.py": """
from pathlib import Path

from cleaning.events import RoomBooked
from microworkflows import microworkflow
from rooms.tasks import greet


@microworkflow(on=RoomBooked)
def clean_room(event: RoomBooked) -> None:
    greet.delay(f"guest of {event.number}")
    Path("cleaned").write_text(str(event.number))
""",
}
BOOK = """
from django.db import transaction
from microworkflows import outbox
from rooms.events import RoomBooked
with transaction.atomic():
    outbox.record(RoomBooked(number=12), correlation_id=12)
"""


class Inn:
    """The project in a folder, and its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.django = "django"
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (folder / "tasks").mkdir()
        self._environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        self._environment |= {"DJANGO_SETTINGS_MODULE": "inn.settings", "PYTHONPATH": str(folder)}
        self.workers: list[Process] = []

    def run(self, *command: str, succeeds: bool = True) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode == 0) == succeeds, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def manage(self, *command: str) -> str:
        return self.run(self.django, *command)

    def make_settings_a_class(self) -> None:
        """Write the settings as django-configurations reads them."""
        lines = FILES["inn/settings.py"].strip().splitlines()
        names = {line.partition(" = ")[0] for line in lines if line[:1].isupper()}
        assigned = [f"    {name} = {name}" for name in sorted(names)]
        text = "\n".join(
            [
                "from configurations import Configuration",
                *lines,
                "",
                "class Production(Configuration):",
                *assigned,
            ]
        )
        (self.folder / "inn/settings.py").write_text(text + "\n")
        celery = self.folder / "inn/celery.py"
        celery.write_text(
            celery.read_text().replace("app = ", "import configurations\n\nconfigurations.setup()\napp = ")
        )
        self._environment["DJANGO_CONFIGURATION"] = "Production"
        self.django = "configurations"

    def worker(self, app: str, *options: str) -> Process:
        worker = Process(
            *(sys.executable, "-m", "celery", "-A", app, "worker", "-c", "1", "--loglevel", "INFO", *options),
            environment=self._environment,
            log=self.folder / f"{app}.log",
            cwd=self.folder,
        )
        self.workers.append(worker)
        worker.says(" ready.")
        return worker


@pytest.fixture
def inn(tmp_path: Path) -> Iterator[Inn]:
    made = Inn(tmp_path)
    yield made
    for worker in made.workers:
        worker.end()


@pytest.mark.parametrize("settings", ["of a module", "of a class"])
def test_events_and_tasks_have_a_broker_each(inn: Inn, settings: str) -> None:
    if settings == "of a class":
        inn.make_settings_a_class()
    assert "no issues" in inn.manage("check", "--fail-level", "WARNING")
    inn.manage("migrate", "--verbosity", "0")
    events = inn.worker("inn.events:events_app", "-Q", "rooms,cleaning")
    tasks = inn.worker("inn.celery:app", "-Q", "celery,rooms")

    inn.manage("shell", "--verbosity", "0", "--command", BOOK)

    eventually((inn.folder / "greeted").exists, what="the task, on its own broker")
    assert (inn.folder / "greeted").read_text() == "guest of 12"
    assert (inn.folder / "cleaned").read_text() == "12"
    with closing(sqlite3.connect(inn.folder / "db.sqlite3")) as database:
        assert database.execute("SELECT status FROM published").fetchall() == [(2,)]
        assert database.execute("SELECT status FROM received").fetchall() == [(2,)]
    assert inn.manage("dead_letters").count(" 0 ") == 2
    for worker in (events, tasks):
        assert worker.stop() == 0
        assert "Traceback" not in worker.output


def test_app_of_own_tasks_with_the_broker_of_the_events_does_not_take_them(inn: Inn) -> None:
    settings = inn.folder / "inn/settings.py"
    settings.write_text(settings.read_text() + "CELERY_BROKER_URL = EVENTS_BROKER_URL\n")

    said = inn.run("celery", "-A", "inn.celery:app", "worker", "-Q", "rooms", succeeds=False)

    assert "microworkflows.E030" in said
