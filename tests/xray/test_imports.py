from __future__ import annotations

from microworkflows_xray.facts import Import
from tests.xray import looking


def imports(project: str) -> list[tuple[str, str, str, int]]:
    found: tuple[Import, ...] = looking.look(project).imports
    return [
        (each.name, each.app, each.place.file, each.place.line)
        for each in found
        if each.how == "import" and not each.name.startswith("django.")
    ]


def test_each_way_to_import_names_what_it_imports_as_far_as_it_says() -> None:
    assert imports("noadmin") == [
        ("herbarium.loans.models", "loans", "labels2go/printing.py", 5),
        ("herbarium.loans.models", "loans", "labels2go/printing.py", 8),
        ("herbarium.models", "herbarium", "labels2go/printing.py", 6),
        ("herbarium.models", "herbarium", "labels2go/printing.py", 7),
        ("herbarium.models.Collector", "herbarium", "labels2go/printing.py", 13),
        ("herbarium.models.Specimen", "herbarium", "labels2go/printing.py", 17),
    ]


def test_tests_factories_and_migrations_are_left_out_and_named() -> None:
    assert looking.look("noadmin").excluded == (
        "labels2go/factories.py",
        "labels2go/migrations/0001_initial.py",
        "labels2go/migrations/__init__.py",
        "labels2go/test_printing.py",
    )


def test_an_import_inside_a_function_says_in_which() -> None:
    (ring,) = (each for each in looking.look("brokenurls").imports if each.place.file == "bell.py")

    assert (ring.name, ring.app, ring.place.function, ring.place.app) == (
        "wards.beds.models.Bed",
        "beds",
        "bell.ring",
        "bell",
    )


def test_imports_of_a_package_that_grimp_cannot_read_are_found_all_the_same() -> None:
    assert imports("broken") == [
        ("mill.flour.models.Sack", "flour", "mill/wheel/turning.py", 1),
        ("mill.sluice.models.Gate", "sluice", "mill/flour/selling.py", 1),
    ]


def test_code_in_no_app_is_looked_at_too() -> None:
    assert ("kasse.views", "till", "laden/urls.py", 2) in imports("rqshop")
