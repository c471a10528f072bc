"""The command that ends a move names the way to the new database as the project's own settings have it."""

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

pytest.importorskip("psycopg")

from microworkflows.cutover.management.commands.split_database import Command

TARGET = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": "db.example",
    "PORT": "5433",
    "NAME": "payments",
    "USER": "shop",
    "PASSWORD": "geheim",
}


def said() -> str:
    out = io.StringIO()
    target: Any = SimpleNamespace(settings_dict=TARGET)
    Command(stdout=cast("Any", out))._say_what_to_do("payments", cast("BaseDatabaseWrapper", target))
    assert "geheim" not in out.getvalue()
    return out.getvalue()


def test_project_with_a_database_url_is_told_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/shop")

    assert "   DATABASE_URL=postgresql://shop:***@db.example:5433/payments celery -A project worker" in said()
    assert "To go back: DATABASE_URL=postgresql://shop:***@" in said()


def test_project_without_a_database_url_is_told_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert "DATABASE_URL" not in said()
    assert "   celery -A project worker -Q payments -n payments@%h\n" in said()
    assert (
        "with settings in which DATABASES['default'] is {'ENGINE': 'django.db.backends.postgresql', 'HOST': 'db.example', "
        "'PORT': '5433', 'NAME': 'payments', 'USER': 'shop', …}" in said()
    )
    assert "To go back: with the settings of its worker, split_database payments" in said()
