"""Whose table is whose, in a database that was made for some contexts."""

import pytest
from django.apps import apps
from pytest_django import Settings

pytest.importorskip("psycopg")

from microworkflows.cutover.splitting import others


def test_others_tables_are_all_but_those_of_the_context_the_kit_and_djangos_own(monolith: None) -> None:
    found = others.of_others(["payments"])

    assert {model._meta.app_label for model in found.values()} == {"orders", "inventory", "shipping"}
    assert "inventory_reservationline" in found
    assert others.everywhere(["payments"]) == [
        *("auth_group", "auth_group_permissions", "auth_permission", "auth_user", "auth_user_groups"),
        *("auth_user_user_permissions", "django_admin_log", "django_content_type", "django_session"),
    ]


def test_every_table_is_somebodys(monolith: None) -> None:
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}

    assert others.of_others(["payments"]).keys() | others.at_home(["payments"]) == tables
    assert not others.of_others(["payments"]).keys() & others.at_home(["payments"])


def test_apps_and_models_may_be_named_as_everywhere(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"IN_EVERY_DATABASE": ["shipping", "inventory.StockItem"]}

    found = others.of_others(["payments"])

    assert "inventory_stockitem" not in found
    assert "inventory_reservation" in found
    assert not any(name.startswith("shipping_") for name in found)
    assert others.is_at_home("shipping", ["payments"])
    assert not others.is_at_home("inventory", ["payments"])


def test_of_the_user_models_app_only_the_users_are_everywhere(
    monolith: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others, "get_user_model", lambda: apps.get_model("orders", "Order"))

    assert others.is_at_home("orders.order", ["payments"])
    assert others.is_at_home("orders", ["payments"])
    assert not others.is_at_home("orders.product", ["payments"])
