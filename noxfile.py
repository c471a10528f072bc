"""The tested matrix: Python and Django as pyproject.toml classifies, Celery at its oldest and its newest.

``nox -s oldest`` and ``nox -s newest`` are its two ends, which CI runs with the quick tests; ``nox -s matrix`` is all of it, with
more tests; docs/reference/compatibility.md has the results. A session runs on the PostgreSQL and RabbitMQ that the tests find:
TEST_DATABASE_URL and TEST_BROKER_URL name them, and tests/matrix/trixie.sh starts newer ones. What follows ``--`` replaces the
selection of tests.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import nox

CLASSIFIERS = nox.project.load_toml("pyproject.toml")["project"]["classifiers"]
PYTHONS = [
    text.rpartition(" ")[2] for text in CLASSIFIERS if text.startswith("Programming Language :: Python :: 3.")
]
DJANGOS = [text.rpartition(" ")[2] for text in CLASSIFIERS if text.startswith("Framework :: Django :: ")]
PYTHON_OF = {"5.2": "3.11", "6.0": "3.12", "6.1": "3.12"}
"""The oldest Python that each Django runs on, and we."""
LOCKS = {"oldest": "oldest", "newest": "dev"}
"""Locks by their Celery, Kombu and py-amqp. Both hold Django 5.2; a lock of Django alone replaces it."""
UNIT = ("tests/unit", "--ignore=tests/unit/benchmarks")
SPREAD = ("--numprocesses", os.environ.get("PROCESSES", "2"), "--dist", "loadfile", "--no-loadscope-reorder")


def integration(*names: str) -> list[str]:
    """Return the files of these tests."""
    return [f"tests/integration/test_{name}.py" for name in names]


QUICK = [
    *UNIT,
    "--ignore=tests/unit/shop",
    *integration("bundling", "own_tasks", "retries", "worker"),
    "-m",
    "not slow",
]
MORE = [
    *UNIT,
    *integration("bundling", "dead_letters", "own_tasks", "relay_order", "relay_refusals", "retries"),
    *integration("statements", "wakeup", "worker", "worker_death"),
]

nox.needs_version = ">=2025.5"
nox.options.envdir = "var/nox"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["oldest", "newest"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"  # a Python that is missing is skipped, in CI too, and nox says so
nox.options.error_on_missing_interpreters = False
pyenv = Path.home() / ".pyenv/versions"
if pyenv.is_dir():  # it runs a Python only if it is chosen: choose all
    os.environ.setdefault("PYENV_VERSION", ":".join(python.name for python in sorted(pyenv.iterdir())))


def runs(version: str) -> bool:
    """Tell whether this Python is here."""
    try:
        subprocess.run([f"python{version}", "--version"], check=True, capture_output=True)  # noqa: S603  (own command)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


NEWEST = next((version for version in reversed(PYTHONS) if runs(version)), PYTHONS[-1])
"""The newest Python that is here; where none is, nox says so."""


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Run the quick tests on the oldest of everything."""
    run(session, celery="oldest", django=DJANGOS[0], tests=QUICK)


@nox.session(python=NEWEST)
def newest(session: nox.Session) -> None:
    """Run the quick tests on the newest Python that is here, and the newest of everything that it runs; they record in one trip."""
    django = [django for django in DJANGOS if PYTHON_OF[django] <= NEWEST][-1]
    if (NEWEST, django) == ("{}.{}".format(*sys.version_info), DJANGOS[0]):
        session.skip(f"Python {NEWEST} is the newest here, and so what `make test` runs on")
    run(session, celery="newest", django=django, tests=QUICK, environment={"ONE_TRIP": "1"})


@nox.session
@nox.parametrize("celery", list(LOCKS))
@nox.parametrize(
    "python,django", [pair for pair in itertools.product(PYTHONS, DJANGOS) if pair[0] >= PYTHON_OF[pair[1]]]
)
def matrix(session: nox.Session, django: str, celery: str) -> None:
    """Run more tests on one combination."""
    run(session, celery=celery, django=django, tests=MORE)


@nox.session
def package(session: nox.Session) -> None:
    """Check the built packages, ``dist/*`` or those that follow ``--``, as the place does to which they are published."""
    packages = session.posargs or sorted(map(str, Path("dist").glob("*")))
    session.install("--no-deps", "--require-hashes", "--requirement", "requirements/package.lock")
    session.run("twine", "check", "--strict", *packages)


def run(
    session: nox.Session,
    *,
    celery: str,
    django: str,
    tests: list[str],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Install one combination, and run the tests on it."""
    for lock in (LOCKS[celery], *([f"django-{django}"] if django != "5.2" else [])):
        session.install("--no-deps", "--require-hashes", "--requirement", f"requirements/{lock}.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    # uv compiles nothing when it installs: the first process that imports a module does.
    session.run(
        "pytest", *SPREAD, *(session.posargs or tests), env={"PYTHONDONTWRITEBYTECODE": None, **environment}
    )
