from __future__ import annotations

from microworkflows_xray.facts import Static
from tests.xray import looking


def fork() -> Static:
    return looking.look("fork", path="installed/site-packages")


def test_a_fork_is_known_by_its_config_by_its_label_or_by_its_models() -> None:
    forks = {app.label: app.forked_from for app in fork().apps if app.origin == "fork"}

    assert forks == {"papers": "kiosk.papers", "sweets": "kiosk.sweets", "parcels": "kiosk.parcels"}


def test_a_user_model_of_ones_own_makes_no_fork_of_auth() -> None:
    (staff,) = (app for app in fork().apps if app.label == "staff")

    assert (staff.origin, staff.forked_from) == ("own", "")


def test_an_app_in_site_packages_is_installed() -> None:
    assert {app.label for app in fork().apps if app.origin == "installed"} >= {"auth", "stock", "till"}


def test_code_of_the_original_is_looked_at_as_the_forks() -> None:
    (selling,) = (
        each
        for each in fork().imports
        if each.place.file == "kiosk/papers/selling.py" and each.how == "import"
    )

    assert (selling.name, selling.app, selling.place.app) == ("kiosk.stock.models.Shelf", "stock", "papers")


def test_a_key_that_an_abstract_model_declares_is_the_forks_bond() -> None:
    (shelf,) = (relation for relation in fork().relations if relation.model == "papers.Paper")

    assert (shelf.to, shelf.place.file, shelf.place.app) == (
        "stock.Shelf",
        "kiosk/papers/abstract.py",
        "papers",
    )


def test_code_of_other_installed_apps_is_not_looked_at() -> None:
    assert not [each for each in fork().imports if each.place.file.startswith("kiosk/till")]
