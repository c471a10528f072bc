"""``manage.py startcontext`` in a project of one's own: what it writes passes all checks and its own test as it is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.architecture.files import ROOT

SETTINGS = """
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "of a test"
DEBUG = True
INSTALLED_APPS = ["django_outbox_pattern", "microworkflows", "django.contrib.contenttypes", "django.contrib.auth"]
INSTALLED_APPS += ["django.contrib.messages", "django.contrib.sessions", "django.contrib.admin"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "inn.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
USE_TZ = True
EVENTS_BROKER_URL = f"embedded://{BASE_DIR / 'broker'}"
"""
FILES = {
    "inn/__init__.py": "from inn.celery import app\n",
    "inn/celery.py": """
from celery import Celery
from microworkflows import worker

app = Celery("inn")
app.config_from_object("django.conf:settings", namespace="EVENTS")
worker.setup(app)
""",
    "inn/urls.py": """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
""",
}
COMMANDS = """
import sys
import django
django.setup()
from django.core.management import call_command
from django.test import Client

labels = sys.argv[1:]
call_command("check", fail_level="WARNING")
call_command("makemigrations", *labels)
call_command("makemigrations", check=True)
call_command("migrate", verbosity=0)
call_command("test")

from django.contrib.auth.models import User
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("somebody"))
for label in labels:
    added = client.post(f"/admin/{label}/example/add/", {"name": "first", "_continue": "1"}, follow=True)
    assert f"{label}.example_created.v1" in added.text, added.text
"""
"""What people do next, in one process; and the page of an example that was added in the admin, with its journey."""

DJANGO = (sys.executable, "-m", "django")


class Project:
    """A project of one's own in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in {"inn/settings.py": SETTINGS, **FILES}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)

    def install(self, *modules: str) -> None:
        with (self.folder / "inn/settings.py").open("a") as settings:
            settings.write(f"INSTALLED_APPS += {[*modules]}\n")

    def run(self, *command: str) -> str:
        environment = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
        environment |= {"DJANGO_SETTINGS_MODULE": "inn.settings", "PYTHONPATH": str(self.folder)}
        ended = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_context_passes_all_checks_and_its_test_as_it_is(project: Project) -> None:
    for package in ("shared", "shared/contexts"):
        (project.folder / package).mkdir()
        (project.folder / package / "__init__.py").touch()

    here = project.run(*DJANGO, "startcontext", "rooms")
    elsewhere = project.run(*DJANGO, "startcontext", "lost_and_found", "shared/contexts/found")

    assert 'add "rooms" to INSTALLED_APPS' in here
    assert 'add "shared.contexts.found" to INSTALLED_APPS' in elsewhere
    project.install("rooms", "shared.contexts.found")
    said = project.run(sys.executable, "-W", "error", "-c", COMMANDS, "rooms", "lost_and_found")
    assert "Ran 2 tests" in said
    assert "no issues" in said
    folders = [str(project.folder / name) for name in ("rooms", "shared/contexts/found")]
    for folder in folders:
        shutil.rmtree(f"{folder}/migrations")  # Django writes these
    ruff = str(Path(sys.executable).with_name("ruff"))
    project.run(
        *(ruff, "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), "--config", "src=['.']"),
        *("--extend-ignore", "PT", *folders),  # PT: the test is one of Django's
    )
    project.run(ruff, "format", "--no-cache", "--isolated", "--check", *folders)


@pytest.mark.slow
def test_samples_of_the_how_to_on_testing_run_under_django_and_pytest(project: Project) -> None:
    project.run(*DJANGO, "startcontext", "billing")  # another name: the shop has an app payments
    project.install("billing")
    project.run(*DJANGO, "makemigrations", "billing")
    samples = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/howto/testing.md").read_text(), flags=re.DOTALL
    )
    for number, sample in enumerate(samples):
        (project.folder / f"test_sample_{number}.py").write_text(sample.replace("payments", "billing"))

    by_django = project.run(*DJANGO, "test")
    by_pytest = project.run(sys.executable, "-m", "pytest", "-q")

    assert len(samples) == 2
    assert "Ran 2 tests" in by_django  # of the context, and the sample of a test case
    assert "3 passed" in by_pytest


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Rooms", "cannot be a context's label"),
        ("lost-and-found", "cannot be a context's label"),
        ("class", "cannot be a context's label"),
        ("r" * 49, "cannot be a context's label"),
        ("microworkflows", "has the label"),
        ("json", "There is a module json already"),
    ],
)
def test_name_that_no_context_can_have_is_refused_and_nothing_is_written(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CommandError, match=why):
        call_command("startcontext", name)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "why"), [("full", "not an empty folder"), ("not-a-name/rooms", "'not-a-name' is no name")]
)
def test_folder_that_cannot_hold_a_context_is_refused(
    folder: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes").touch()
    before: Any = sorted(tmp_path.rglob("*"))

    with pytest.raises(CommandError, match=why):
        call_command("startcontext", "rooms", str(tmp_path / folder))

    assert sorted(tmp_path.rglob("*")) == before
