"""``manage.py startcontext``: a bounded context to begin with, which reads as all do, passes the checks and has a test."""

import re
import sys
from argparse import ArgumentParser
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.templates import TemplateCommand

from microworkflows import wakeup
from microworkflows.management.base import Answering

_TEMPLATE = Path(__file__).parents[1] / "context_template"
_LABEL = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_LABEL = 63 - len(wakeup.channel(""))
"""PostgreSQL's names, that of the channel which wakes a context's relay among them, have 63 bytes."""


def _check_label(label: str) -> None:
    """Raise CommandError if a context cannot be called so."""
    if not _LABEL.fullmatch(label) or iskeyword(label) or len(label) > _LONGEST_LABEL:
        raise CommandError(
            f"{label!r} cannot be a context's label, by which its events' types begin ({{label}}.example_created.v1) and its "
            f"queue is called. Use lower-case letters, digits and underscores, a letter first, no word of Python's, and at most "
            f"{_LONGEST_LABEL} characters."
        )
    if label in apps.app_configs:
        raise CommandError(f"An installed app has the label {label!r} already. Choose another.")


def _module(folder: Path) -> str:
    """Return the dotted name by which Python imports a folder, from the nearest folder around it on Python's path."""
    roots = [root for root in map(Path.resolve, map(Path, sys.path)) if root in folder.parents]
    names = (
        folder.relative_to(max(roots, key=lambda root: len(root.parts))).parts if roots else (folder.name,)
    )
    if unusable := [name for name in names if not name.isidentifier() or iskeyword(name)]:
        raise CommandError(
            f"Python cannot import {folder}: {unusable[0]!r} is no name of a module. Choose another folder."
        )
    module = ".".join(names)
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # the folders around it do not exist either
        return module
    if found is not None and found.origin is not None:
        raise CommandError(
            f"There is a module {module} already ({found.origin}). Choose another name or folder."
        )
    return module


class Command(Answering, TemplateCommand):
    help = (
        "Creates a context: an app with an event, a model, an operation, a microworkflow, an admin page and a test, in files "
        "named as in every context."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="label of the context, such as payments")
        parser.add_argument(
            "directory",
            nargs="?",
            help="folder of the app, made if it is missing; by default one of that name, here",
        )

    def handle(self, *args: Any, name: str, directory: str | None, **options: Any) -> None:  # type: ignore[override]  # as startapp does
        folder = Path(directory or name).expanduser().resolve()
        _check_label(name)
        module = _module(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CommandError(f"{folder} exists and is not an empty folder. Choose another, or remove it.")
        folder.mkdir(parents=True, exist_ok=True)
        super().handle(
            "app",
            name,
            str(folder),
            **{**options, "template": str(_TEMPLATE), "extensions": ["py"], "files": [], "module": module},
        )
        self.stdout.write(
            f"The context {name} is in {folder}. Next:\n"
            f'  1. add "{module}" to INSTALLED_APPS;\n'
            f"  2. run `manage.py makemigrations {name}`, `manage.py migrate`, `manage.py check` and `manage.py test {module}`;\n"
            "  3. run `manage.py dev`, add an example in the admin, and watch its journey;\n"
            "  4. put your own model, event and microworkflow in the place of the example."
        )

    def validate_name(self, name: str, name_or_dir: str = "name") -> None:
        """Leave Django's own checks out: they refuse an empty folder, and do not know the context's path."""
