from __future__ import annotations

import pytest

from microworkflows_xray import exclusions


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("shop/tests/test_orders.py", "test"),
        ("shop/orders/tests.py", "test"),
        ("shop/orders/orders_test.py", "test"),
        ("conftest.py", "test"),
        ("shop/test/factories.py", "test"),
        ("shop/orders/factories.py", "factory"),
        ("shop/orders/migrations/0001_initial.py", "migration"),
        ("scripts/once.py", "excluded"),
        ("shop/orders/testimonials.py", ""),
        ("shop/contests/models.py", ""),
        ("shop/migrations_guide.py", ""),
    ],
)
def test_tests_factories_migrations_and_what_the_project_names_are_left_out(file: str, reason: str) -> None:
    assert exclusions.reason(file, ["scripts/*"]) == reason


def test_tests_are_looked_at_if_that_is_asked_for_but_migrations_never() -> None:
    assert exclusions.reason("shop/tests/test_orders.py", include_tests=True) == ""
    assert exclusions.reason("shop/migrations/0001_initial.py", include_tests=True) == "migration"
