from __future__ import annotations

import io
from pathlib import Path

import pytest

from microworkflows_xray import options
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Place
from tests.xray import looking


def written(folder: Path, text: str) -> Path:
    path = folder / "xray.ini"
    path.write_text(text)
    return path


def test_each_app_is_a_context_of_its_own_unless_a_file_says_otherwise() -> None:
    contexts = Contexts.read(None, looking.look("rqshop"))

    assert contexts.names == ("lager", "till")
    assert (contexts.of_app("till"), contexts.of_table("till_receipt")) == ("till", "till")
    assert contexts.of_place(Place("kasse/views.py", 1, "kasse.views.bon", "till")) == "till"


def test_installed_apps_are_shared_and_so_is_what_is_not_known() -> None:
    contexts = Contexts.read(None, looking.look("rqshop"))

    assert contexts.of_app("auth") == contexts.of_table("auth_user") == Contexts.SHARED
    assert contexts.of_app("no such app") == contexts.of_table("no such table") == Contexts.SHARED
    assert contexts.of_place(Place("laden/urls.py", 1)) == Contexts.SHARED


def test_an_app_divides_by_models_and_their_methods_and_many_to_many_tables_follow() -> None:
    contexts = Contexts.read(looking.PROJECTS / "oneapp" / "xray.ini", looking.look("oneapp"))

    assert contexts.names == ("everything", "money", "people")
    assert contexts.of_table("everything_person") == contexts.of_table("everything_person_groups") == "people"
    assert contexts.of_table("everything_account_seen_by") == "money"
    assert contexts.of_table("everything_parcel") == "everything"
    close = Place("everything/models/people.py", 11, "everything.models.people.Person.close", "everything")
    assert contexts.of_place(close) == "people"


def test_a_module_and_an_installed_app_are_assigned_as_well() -> None:
    contexts = Contexts.read(looking.PROJECTS / "oneapp" / "xray.ini", looking.look("oneapp"))

    assert (
        contexts.of_place(Place("everything/till/__init__.py", 5, "everything.till.ring", "everything"))
        == "money"
    )
    assert contexts.of_place(Place("everything/till/__init__.py", 1, "", "everything")) == "money"
    assert contexts.of_app("auth") == contexts.of_table("auth_user") == "people"


def test_a_pattern_excludes_files() -> None:
    assert looking.look("oneapp").excluded == ("everything/old/__init__.py", "everything/old/attic.py")


def test_an_unknown_name_is_an_error_that_suggests_the_known_one(tmp_path: Path) -> None:
    path = written(tmp_path, "[contexts]\npeople = everything.Persom\n")

    with pytest.raises(ProjectError, match=r"names everything\.Persom.*Did you mean everything\.Person"):
        Contexts.read(path, looking.look("oneapp"))


def test_one_thing_in_two_contexts_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "[contexts]\na = everything.Coin\nb = everything.Coin\n")

    with pytest.raises(ProjectError, match=r"puts everything\.Coin into two contexts, a and b"):
        Contexts.read(path, looking.look("oneapp"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("people = everything", "is no ini file"),
        ("[context]\n", r"has \[context\], which means nothing"),
        ("[xray]\nalsoo = x\n", "has alsoo, which means nothing"),
    ],
)
def test_a_file_that_means_nothing_is_an_error(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ProjectError, match=error):
        options.read(written(tmp_path, text))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="There is no file"):
        options.read(tmp_path / "xray.ini")


def test_what_is_written_is_read_again_and_keeps_the_options(tmp_path: Path) -> None:
    path = written(tmp_path, "[xray]\nalso = oscar, kiosk\nloaders = load_it\n\n[contexts]\nold = a\n")

    Contexts.write(path, {"money": ["b.Coin", "a"], "people": ["c"]})

    read = options.read(path)
    assert (read.also, read.loaders) == (("oscar", "kiosk"), ("load_it",))
    assert read.contexts == {"money": ("a", "b.Coin"), "people": ("c",)}


def test_a_proposal_is_written_to_a_stream_too() -> None:
    stream = io.StringIO()

    Contexts.write(stream, {"money": ["a"]})

    assert stream.getvalue() == "[contexts]\nmoney =\n    a\n"
