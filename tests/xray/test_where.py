"""Places of what exists at run time: found in files that were parsed already, and in others that are parsed when asked for."""

import ast
from pathlib import Path

import pytest

from microworkflows_xray.facts import App, Place
from microworkflows_xray.project import Project
from microworkflows_xray.static.sources import Module, Sources
from microworkflows_xray.static.where import Where
from tests.xray import snippets

ROOT = Path(__file__).parents[2]
PROJECT = Project(ROOT, "", (App("xray", "tests.xray", "tests/xray"),), {}, ())


def test_a_file_that_was_parsed_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(__file__)
    sources = Sources()
    sources.add(Module(__name__, file, file.name, ast.parse(file.read_bytes()), "xray"))
    where = Where(PROJECT, sources)
    monkeypatch.setattr(ast, "parse", None)

    place = where.of(test_a_file_that_was_parsed_is_not_parsed_again)

    line = test_a_file_that_was_parsed_is_not_parsed_again.__code__.co_firstlineno
    assert (place.file, place.line) == ("tests/xray/test_where.py", line)
    assert place.function == f"{__name__}.test_a_file_that_was_parsed_is_not_parsed_again"


def test_a_file_that_was_not_parsed_is() -> None:
    place = Where(PROJECT, Sources()).of(snippets.code)

    assert (place.file, place.function) == ("tests/xray/snippets.py", "tests.xray.snippets.code")
    assert place.line > 1


def test_what_no_file_defines_has_no_line() -> None:
    assert Where(PROJECT, Sources()).of(type("Made", (), {"__module__": "nowhere"})) == Place("", 0)
