"""``xray record manage.py test``: what Django's own test runner runs is recorded, and no result changes."""

import re
from pathlib import Path

import pytest

from tests.xray.observed.workshop import Workshop, unit, written

FILES = {
    "manage.py": """
import sys

from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
""",
    "runners.py": """
from django.test.runner import DiscoverRunner


class Runner(DiscoverRunner):
    def run_suite(self, suite, **kwargs):
        print("my own runner")
        return super().run_suite(suite, **kwargs)
""",
    "checks/__init__.py": "",
    "checks/test_orders.py": """
from django.test import TestCase
from sales import services
from sales.models import Order
from stock.models import Item


class OrderTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        Item.objects.create(name="nut")

    def test_order_is_placed(self):
        self.client.post("/orders/", {"customer": "secret-ada"})

        self.assertEqual(Order.objects.count(), 1)

    def test_that_fails(self):
        self.assertEqual(Order.objects.count(), 1)

    def test_order_is_forgotten(self):
        services.forget("secret-ada")
""",
}
PASSING = (
    "checks.test_orders.OrderTest.test_order_is_placed",
    "checks.test_orders.OrderTest.test_order_is_forgotten",
)


@pytest.fixture
def own(tmp_path: Path) -> Workshop:
    """The workshop with tests for Django's runner."""
    made = Workshop(tmp_path)
    for name, text in FILES.items():
        (made.folder / name).parent.mkdir(exist_ok=True)
        (made.folder / name).write_text(text)
    return made


def record(own: Workshop, *program: str, **variables: str) -> "tuple[int, str, str]":
    ended = own.run("-m", "microworkflows_xray", "record", *program, **variables)
    return ended.returncode, ended.stdout, ended.stderr


def test_what_the_tests_did_is_recorded(own: Workshop) -> None:
    code, _, said = record(own, "manage.py", "test", *PASSING)
    observed = own.recording()

    assert code == 0, said
    assert "X-ray: 2 tests" in said
    assert (observed.source, observed.units, observed.gaps) == ("tests", 2, ())
    placed = unit(observed, "atomic", "sales.services.place_order", "request POST place")
    assert ("update", "stock_item", "stock.models.Item.take") in written(placed.accesses)
    assert "sales.services.forget" in observed.executed
    assert "secret" not in (own.folder / "xray-observed.json").read_text()


@pytest.mark.slow
def test_results_and_exit_code_are_those_of_the_tests(own: Workshop) -> None:
    plain = own.run("manage.py", "test", "checks")
    code, _, said = record(own, "--output", "mine.json", "manage.py", "test", "checks")

    assert (plain.returncode, code) == (1, 1)
    assert re.findall(r"^(?:FAIL:.*|FAILED.*|Ran 3 tests)", said, re.MULTILINE) == re.findall(
        r"^(?:FAIL:.*|FAILED.*|Ran 3 tests)", plain.stderr, re.MULTILINE
    )
    assert own.recording("mine.json").units == 3


@pytest.mark.slow
def test_runner_of_the_projects_own_is_recorded_once(own: Workshop) -> None:
    settings = own.folder / "settings.py"
    settings.write_text(f"{settings.read_text()}\nTEST_RUNNER = 'runners.Runner'\n")

    code, printed, said = record(own, "manage.py", "test", *PASSING)

    assert code == 0, said
    assert printed.count("my own runner") == 1
    assert own.recording().units == 2


@pytest.mark.slow
def test_several_processes_are_refused(own: Workshop) -> None:
    (own.folder / "checks/test_more.py").write_text(FILES["checks/test_orders.py"])

    code, _, said = record(own, "manage.py", "test", "checks", "--parallel", "2")

    assert code == 2
    assert "Run them in one: --parallel 1" in said
    assert not (own.folder / "xray-observed.json").exists()


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (("manage.py", "check"), "ran no tests by Django's test runner"),
        (("managing.py", "test"), "There is no file managing.py here"),
        ((), "Give the program that runs the tests, such as: record manage.py test."),
    ],
)
def test_what_runs_no_tests_is_an_error(own: Workshop, program: "tuple[str, ...]", says: str) -> None:
    code, _, said = record(own, *program)

    assert code == 2
    assert says in said
    assert "Traceback" not in said
