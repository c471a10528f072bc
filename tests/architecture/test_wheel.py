"""The packages: the wheel is the kit alone, and of use in a Django project that knows nothing of the shop; the source
distribution is all of the project."""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from microworkflows.checks import surroundings
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


PLAIN_SETTINGS = """
INSTALLED_APPS = ["django_outbox_pattern", "microworkflows", "greetings"]
MIDDLEWARE = []
ROOT_URLCONF = "greetings"
CELERY_TASK_ALWAYS_EAGER = True
"""
PLAIN_PROJECT = {
    "greetings/__init__.py": "urlpatterns = []",
    "greetings/models.py": """
from django.db import models

class Greeting(models.Model):
    name = models.TextField()
""",
    "greetings/tests.py": """
from django.test import TestCase
from greetings.models import Greeting
from microworkflows.models import OutboxEvent

class GreetingTest(TestCase):
    def test_greeting_is_stored(self):
        Greeting.objects.create(name="World")
        self.assertEqual((Greeting.objects.count(), OutboxEvent.objects.count()), (1, 0))
""",
}
"""A project that has installed the kit and no more: no admin, no login, no Celery app, and nothing is declared."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of both packages: the wheel is built from the source distribution."""
    folder = tmp_path_factory.mktemp("packages")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(packages: Path) -> Path:
    (path,) = packages.glob("*.whl")
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
        if path.is_relative_to("apps/microworkflows") or path.name == "pytest_microworkflows.py"
    }

    files = zipfile.ZipFile(wheel)
    packed = {name for name in files.namelist() if ".dist-info/" not in name}

    assert packed == kit
    assert {"microworkflows/py.typed", "microworkflows/management/context_template/events.py-tpl"} <= packed
    (entry_points,) = (name for name in files.namelist() if name.endswith(".dist-info/entry_points.txt"))
    assert files.read(entry_points).decode().split() == [
        "[pytest11]",
        "microworkflows",
        "=",
        "pytest_microworkflows",
    ]


def test_source_distribution_contains_the_whole_project(packages: Path) -> None:
    (path,) = packages.glob("*.tar.gz")

    with tarfile.open(path) as archive:
        files = (member.name for member in archive.getmembers() if not member.isdir())
        packed = {name.partition("/")[2] for name in files} - {"PKG-INFO"}

    assert packed == {str(name) for name in project_files()}
    assert {"LICENSE", "docs/index.md", "docs/tutorial/index.md"} <= packed


def test_page_of_the_package_has_what_people_look_for_and_no_link_into_the_repository(wheel: Path) -> None:
    (name,) = (each for each in zipfile.ZipFile(wheel).namelist() if each.endswith(".dist-info/METADATA"))
    about = email.message_from_string(zipfile.ZipFile(wheel).read(name).decode())
    page = str(about.get_payload())

    assert [link for link in re.findall(r"\]\(([^)]*)\)", page) if not link.startswith("https://")] == []
    assert about["Description-Content-Type"] == "text/markdown"
    assert page.startswith("# django-microworkflows\n")
    assert (about["License-Expression"], about["License-File"]) == ("MIT", "LICENSE")
    extras = [each for each in about.get_all("Requires-Dist", []) if "extra ==" in each]
    brought = {"opentelemetry-api", "prometheus-client", "psycopg", "rich"}
    assert {*about.get_all("Provides-Extra", [])} == {"otel", "postgres", "prometheus", "top"}
    assert {each.partition(">")[0].partition("<")[0] for each in extras} == brought
    assert 'pip install "django-microworkflows[postgres]"' in page


@pytest.mark.slow
def test_twine_finds_nothing_to_say(packages: Path) -> None:
    # In this run's environment: it knows the way to the package index.
    command = [sys.executable, "-m", "nox", "-s", "package", "--", *map(str, sorted(packages.iterdir()))]
    checked = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)

    assert checked.returncode == 0, f"{checked.stdout}\n{checked.stderr}"
    assert checked.stdout.count("PASSED") == 2


@pytest.mark.slow
def test_wheel_works_in_an_empty_django_project(wheel: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "venv", wheel)
    site = new_site(
        tmp_path / "site",
        python,
        settings='INSTALLED_APPS += ["django_outbox_pattern", "microworkflows", "greetings"]\n',
        files=PROJECT,
    )

    run(python, "manage.py", "check", cwd=site)
    run(python, "manage.py", "makemigrations", "--check", "--dry-run", cwd=site)
    run(python, "manage.py", "migrate", cwd=site)
    printed = run(python, "record.py", cwd=site, settings="blank.settings")

    event_type, context, data, location = printed.strip().split("|")
    assert (event_type, context, data) == ("greetings.greeting_sent.v1", "greetings", "{'name': 'World'}")
    assert Path(location).is_relative_to(tmp_path)


def test_project_without_admin_celery_and_declarations_goes_on_working(wheel: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "venv", wheel)

    plain_project_works(python, tmp_path / "site")


@pytest.mark.slow
def test_wheel_installs_beside_the_newest_django_and_python_and_leaves_a_plain_project_alone(
    wheel: Path, tmp_path: Path
) -> None:
    """Here pip resolves what the wheel asks for, from the package index that it is configured with."""
    newest, django = surroundings.TESTED["Python"][1], surroundings.TESTED["Django"][1]
    run(find_python(newest), "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"

    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--no-compile", wheel, f"django=={django}.*")

    plain_project_works(python, tmp_path / "site")
    installed = run(python, "-c", "import sys, django; print(sys.version_info[:2], django.VERSION[:2])")
    assert installed == f"({newest.replace('.', ', ')}) ({django.replace('.', ', ')})\n"


def find_python(version: str) -> str:
    """Return the path of a Python of this version, or skip the test."""
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
    found = str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"Python {version} is not installed here")
    return found


def plain_project_works(python: Path, site: Path) -> None:
    new_site(site, python, settings=PLAIN_SETTINGS, files=PLAIN_PROJECT)
    manage: list[str | Path] = [python, "-W", "error", "manage.py"]

    run(*manage, "check", cwd=site)
    run(*manage, "makemigrations", "greetings", cwd=site)
    run(*manage, "makemigrations", "--check", "--dry-run", cwd=site)
    run(*manage, "migrate", cwd=site)
    run(*manage, "test", cwd=site)

    assert "microworkflows\n [X] 0001_initial" in run(*manage, "showmigrations", cwd=site)


def new_site(folder: Path, python: Path, *, settings: str, files: dict[str, str]) -> Path:
    """Make a Django project with these files and with these lines at the end of its settings."""
    folder.mkdir()
    run(python, "-m", "django", "startproject", "blank", ".", cwd=folder)
    with (folder / "blank/settings.py").open("a") as written:
        written.write(f"\n{settings}")
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def new_environment(folder: Path, wheel: Path) -> Path:
    """Make a virtual environment with the wheel in it; what the kit depends on it reads from this run's own."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        wheel,
    )
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # A .pth file adds a folder but does not read the .pth files in it: the shop stays out of reach.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python
