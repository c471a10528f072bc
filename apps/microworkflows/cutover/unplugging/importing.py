"""Imports across the border of a context: those that stand in the code, and those that a run makes by names put together."""

import builtins
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import _bootstrap  # private: import_module goes by it, under whatever name
from importlib.util import resolve_name
from types import FrameType
from typing import Any
from unittest import mock

from django.apps import apps

from microworkflows.cutover import coupling, forks
from microworkflows.cutover.unplugging.findings import IMPORT, Finding, Found
from microworkflows.cutover.unplugging.parties import SHARED, Parties


def in_code(context: str, parties: Parties) -> tuple[list[Finding], list[str]]:
    """Return the imports, foreign keys and names in strings that cross the border, and what could not be looked at."""
    labels = [context, *parties.others_of(context)]
    report = coupling.of(labels)
    found = [
        Finding(parties.shown(bond.file), bond.line, bond.kind, bond.what, who=pair.app)
        for pair in report.pairs
        if context in (pair.app, pair.on)
        for bond in pair.bonds
        if not parties.is_test(bond.file)
    ]
    return found, report.not_looked_at


@contextmanager
def watched(contexts: Sequence[str], parties: Parties, found: Mapping[str, Found]) -> Iterator[None]:
    """Note the imports across the border that code makes in the block, however it names the module."""
    untyped: Any = _bootstrap
    packages = forks.packages(list(apps.get_app_configs()))
    beyond = {context: {context, *parties.others_of(context)} for context in contexts}

    def note(name: str, frame: FrameType | None) -> None:
        target = _owner(name, packages)
        if target is None:
            return
        place = _importer(frame, parties)
        if place is None or place[0] == target:
            return
        owner, file, line = place
        for context, labels in beyond.items():
            if context in (owner, target) and {owner, target} <= labels:
                found[context].findings.append(Finding(file, line, IMPORT, name, who=owner))

    with (
        mock.patch.object(builtins, "__import__", _noting_statements(builtins.__import__, note)),
        mock.patch.object(untyped, "_gcd_import", _noting_calls(untyped._gcd_import, note)),  # noqa: SLF001
    ):
        yield


Note = Callable[[str, FrameType | None], None]


def _noting_statements(original: Callable[..., Any], note: Note) -> Callable[..., Any]:
    def imported(
        name: str,
        globals: Any = None,  # noqa: A002  (it stands in for __import__)
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        module = original(name, globals, locals, fromlist, level)
        if not level:  # a relative one stays at home
            frame = sys._getframe(1)  # noqa: SLF001
            for each in (f"{name}.{part}" for part in fromlist) if fromlist else (name,):
                note(each, frame)
        return module

    return imported


def _noting_calls(original: Callable[..., Any], note: Note) -> Callable[..., Any]:
    def gcd_import(name: str, package: str | None = None, level: int = 0) -> Any:
        module = original(name, package, level)
        note(resolve_name("." * level + name, package) if level and package else name, sys._getframe(1))  # noqa: SLF001
        return module

    return gcd_import


def _importer(frame: FrameType | None, parties: Parties) -> tuple[str, str, int] | None:
    """Return who imports: the owner of the innermost code of the project, and its place; None if tests or Django do."""
    while frame is not None:
        file = frame.f_code.co_filename
        if parties.is_entrance(file) or (not file.startswith("<") and parties.is_test(file)):
            return None
        owner = parties.owner(file)
        if owner is not None:
            return None if owner == SHARED else (owner, parties.shown(file), frame.f_lineno)
        frame = frame.f_back
    return None


def _owner(name: str, packages: Mapping[str, str]) -> str | None:
    while name:
        if name in packages:
            return packages[name]
        name = name.rpartition(".")[0]
    return None
