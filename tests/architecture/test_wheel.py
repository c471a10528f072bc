"""The wheel: the kit alone, and of use in a Django project that knows nothing of the shop."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.architecture.files import ROOT, project_files

PROJECT = {
    "blank/__init__.py": "from blank.celery import app as celery_app",
    "blank/celery.py": """
from celery import Celery
from microworkflows import worker

app = Celery("blank")
app.config_from_object("django.conf:settings", namespace="CELERY")
worker.setup(app)
""",
    "greetings/__init__.py": "",
    "greetings/events.py": """
from microworkflows import DomainEvent

class GreetingSent(DomainEvent, type="greetings.greeting_sent.v1"):
    name: str
""",
    "record.py": """
import django
django.setup()
from django.db import transaction
import microworkflows
from greetings.events import GreetingSent
from microworkflows import outbox
from microworkflows.models import OutboxEvent

with transaction.atomic():
    meta = outbox.record(GreetingSent(name="World"))
row = OutboxEvent.objects.pending().get()
assert row.pk == meta.id
print(row.type, row.context, row.body["data"], microworkflows.__file__, sep="|")
""",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (path,) = folder.iterdir()
    return path


def run(*command: str | Path, cwd: Path = ROOT, settings: str = "") -> str:
    """Run a command outside the shop: nothing of this run's settings or paths reaches it."""
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
    if settings:
        environment["DJANGO_SETTINGS_MODULE"] = settings
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, f"{command}:\n{process.stdout}\n{process.stderr}"
    return process.stdout


def test_wheel_contains_the_whole_kit_and_nothing_else(wheel: Path) -> None:
    kit = {
        str(path.relative_to("apps"))
        for path in project_files()
        if path.is_relative_to("apps/microworkflows")
    }

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert packed == kit
    assert "microworkflows/py.typed" in packed


@pytest.mark.slow
def test_wheel_works_in_an_empty_django_project(wheel: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "venv", wheel)
    site = tmp_path / "site"
    site.mkdir()
    run(python, "-m", "django", "startproject", "blank", ".", cwd=site)
    with (site / "blank/settings.py").open("a") as settings:
        settings.write('\nINSTALLED_APPS += ["django_outbox_pattern", "microworkflows", "greetings"]\n')
    for name, text in PROJECT.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)

    run(python, "manage.py", "check", cwd=site)
    run(python, "manage.py", "makemigrations", "--check", "--dry-run", cwd=site)
    run(python, "manage.py", "migrate", cwd=site)
    printed = run(python, "record.py", cwd=site, settings="blank.settings")

    event_type, context, data, location = printed.strip().split("|")
    assert (event_type, context, data) == ("greetings.greeting_sent.v1", "greetings", "{'name': 'World'}")
    assert Path(location).is_relative_to(tmp_path)


def new_environment(folder: Path, wheel: Path) -> Path:
    """Make a virtual environment with the wheel in it; what the kit depends on it reads from this run's own."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # A .pth file adds a folder but does not read the .pth files in it: the shop stays out of reach.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python
