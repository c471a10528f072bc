"""Fixtures of the bridging: the shop's orders."""

from tests.unit.shop.conftest import draft, shop  # noqa: F401  (fixtures)
