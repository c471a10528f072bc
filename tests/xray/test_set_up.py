from __future__ import annotations

import re
from pathlib import Path

import pytest

from microworkflows_xray import settings
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Static
from tests.xray import looking


def gaps(static: Static) -> dict[str, str]:
    return {gap.what: gap.why for gap in static.gaps}


def apps(static: Static) -> dict[str, tuple[str, str]]:
    return {app.label: (app.name, app.origin) for app in static.apps if not app.name.startswith("django.")}


def test_settings_are_the_default_that_manage_py_names_even_behind_another_variable() -> None:
    static = looking.look("rqshop")

    assert static.settings == "laden.conf.live"


def test_settings_come_from_the_setting_of_pytest_where_there_is_no_manage_py() -> None:
    static = looking.look("noadmin")

    assert static.settings == "settings"


def test_the_argument_comes_before_the_environment_and_that_before_manage_py(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = looking.unpack("rqshop", tmp_path)

    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "of.the.environment")

    assert settings.find("of.the.argument", project)[0] == "of.the.argument"
    assert settings.find(None, project)[0] == "of.the.environment"


def test_settings_in_the_pyproject_of_pytest_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nDJANGO_SETTINGS_MODULE = "a.b"\n')

    assert settings.find(None, tmp_path)[0] == "a.b"


def test_a_manage_py_in_a_virtual_environment_below_the_root_is_not_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "env" / "manage.py").write_text('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "other")')

    with pytest.raises(ProjectError, match="No settings were found"):
        settings.find(None, tmp_path)


def test_a_folder_with_no_settings_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    done = looking.run(tmp_path, tmp_path / "facts.json")

    assert done.returncode == 2
    assert re.search(r"No settings were found in .*--settings", done.stderr)


def test_settings_that_install_no_app_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("SECRET_KEY = 'x'\n")
    (tmp_path / "xray.ini").write_text("[xray]\nsettings = bare\n")

    done = looking.run(tmp_path, tmp_path / "facts.json")

    assert "install no app" in done.stderr
    assert not (tmp_path / "facts.json").exists()


def test_a_project_of_installed_apps_only_is_an_error_since_its_report_would_be_empty(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("SECRET_KEY = 'x'\nINSTALLED_APPS = ['django.contrib.contenttypes']\n")
    (tmp_path / "xray.ini").write_text("[xray]\nsettings = bare\n")

    done = looking.run(tmp_path, tmp_path / "facts.json")

    assert "None of the 1 apps" in done.stderr
    assert not (tmp_path / "facts.json").exists()


def test_an_installed_package_counts_as_the_projects_own_if_it_is_named(tmp_path: Path) -> None:
    static = looking.look("noadmin", "django.contrib.contenttypes")

    assert next(app.origin for app in static.apps if app.label == "contenttypes") == "own"


def test_a_package_that_is_named_but_not_there_is_an_error(tmp_path: Path) -> None:
    done = looking.run(looking.unpack("noadmin", tmp_path), tmp_path / "facts.json", "no_such_package")

    assert "No package 'no_such_package' is installed" in done.stderr


def test_a_missing_package_costs_only_itself() -> None:
    static = looking.look("rqshop")

    assert gaps(static)["package django_rq"].startswith("It is not installed here")
    assert apps(static) == {"till": ("kasse", "own"), "lager": ("lager", "own")}


def test_a_broker_that_ready_wants_is_not_called() -> None:
    static = looking.look("rqshop")

    assert "connects to nothing, so not to redis.invalid" in gaps(static)["ready() of till"]


def test_a_missing_database_driver_costs_nothing_of_the_models() -> None:
    static = looking.look("broken")

    assert "SQLite stands for its engine" in gaps(static)["database default"]
    assert {model.table for model in static.models} >= {"flour_sack", "sluice_gate"}


def test_a_broken_project_gives_a_partial_report_that_says_what_is_missing() -> None:
    static = looking.look("broken")

    assert set(gaps(static)) >= {
        "app mill.nowhere",
        "imports of mill",
        "package fancy_logging",
        "package grain",
        "parts of mill.stone.models",
        "parts of mill.wheel",
        "ready() of sluice",
        "variable MILL_SECRET",
    }
    assert apps(static) == {name: (f"mill.{name}", "own") for name in ("flour", "sluice", "stone", "wheel")}


def test_a_file_with_a_syntax_error_is_a_gap_that_names_it() -> None:
    static = looking.look("broken")

    assert any(gap.place and gap.place.file == "mill/flour/recipes.py" for gap in static.gaps)


def test_a_gap_says_on_which_line_it_arose_and_in_whose_code() -> None:
    (gap,) = (gap for gap in looking.look("broken").gaps if gap.what == "ready() of sluice")

    assert gap.place is not None
    assert (gap.place.file, gap.place.app) == ("mill/sluice/apps.py", "sluice")


def test_urls_that_do_not_import_are_a_gap_and_cost_no_app() -> None:
    static = looking.look("brokenurls")

    assert "ViewThatWasRenamed" in gaps(static)["parts of conf.urls"]
    assert {model.table for model in static.models} >= {"beds_bed", "linen_sheet", "meals_meal"}


def test_an_admin_that_does_not_import_keeps_no_other_out() -> None:
    static = looking.look("brokenurls")

    assert "kitchens" in gaps(static)["parts of wards.meals.admin"]
    assert any(access.how == "admin" and access.table == "beds_bed" for access in static.accesses)


def test_apps_in_namespace_packages_in_other_apps_and_in_single_modules_are_told_apart() -> None:
    static = looking.look("brokenurls")

    paths = {app.label: app.path for app in static.apps if app.origin == "own"}
    assert paths == {
        "beds": "wards/beds",
        "bell": "bell.py",
        "linen": "wards/beds/linen",
        "meals": "wards/meals",
    }
    assert {model.app: model.place.app for model in static.models if model.app == "linen"} == {
        "linen": "linen"
    }


def test_code_in_a_folder_that_only_manage_py_puts_on_the_path_is_found() -> None:
    static = looking.look("nocelery")

    assert apps(static) == {name: (f"station.{name}", "own") for name in ("platforms", "trains")}
    assert not static.gaps


def test_two_looks_at_the_same_project_find_the_same(tmp_path: Path) -> None:
    project = looking.unpack("brokenurls", tmp_path)

    texts = []
    for name in ("one.json", "two.json"):
        assert looking.run(project, tmp_path / name).returncode == 0
        texts.append(re.sub(r'"(seconds|peak_megabytes)": [\d.]+', "", (tmp_path / name).read_text()))

    assert texts[0] == texts[1]
