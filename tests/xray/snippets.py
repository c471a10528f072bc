"""Small pieces of code for the tests of the inference: models in a registry of their own, and modules that use them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.apps.registry import Apps
from django.db.migrations.state import AppConfigStub
from django.db.models.options import Options

from microworkflows_xray.facts import App
from microworkflows_xray.project import Project
from microworkflows_xray.static import accesses
from microworkflows_xray.static.engine import Engine
from microworkflows_xray.static.registry import Registry
from microworkflows_xray.static.sources import Module, Sources

MODELS = """
from django.db import models

class Stamped(models.Model):
    touched = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        app_label = "shop"

    def touch(self):
        self.save(update_fields=["touched"])

class Customer(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "shop"

class Tag(models.Model):
    class Meta:
        app_label = "shop"

class OrderQuerySet(models.QuerySet):
    def close(self):
        return self.update(status="closed")

    def open(self):
        return self.filter(status="open")

class Order(Stamped):
    status = models.CharField(max_length=20)
    total = models.IntegerField(default=0)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    tags = models.ManyToManyField(Tag)
    objects = OrderQuerySet.as_manager()

    class Meta:
        app_label = "shop"

class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    quantity = models.IntegerField()

    class Meta:
        app_label = "shop"

class Note(models.Model):
    order = models.ForeignKey(Order, on_delete=models.SET_NULL, null=True)

    class Meta:
        app_label = "shop"

class Invoice(models.Model):
    order = models.OneToOneField(Order, on_delete=models.PROTECT)

    class Meta:
        app_label = "shop"

    def save(self, *args, **kwargs):
        super().save(*args, **kwargs)

class Parcel(models.Model):
    class Meta:
        app_label = "shop"

class Watched:
    def save(self, *args, **kwargs):
        super().save(*args, **kwargs)

class Sample(Watched, models.Model):
    class Meta:
        app_label = "shop"

class TrackedParcel(Parcel):
    code = models.CharField(max_length=20)

    class Meta:
        app_label = "shop"
"""


APPS = (App("shop", "shop", "shop"), App("desk", "work.desk", "work/desk"))
PROJECT = Project(Path(), "", APPS, {}, (), loaders=("fetch",))


@contextmanager
def code(**modules: str) -> Iterator[Engine]:
    """Read modules of an app ``desk``, by their names, next to ``shop.models``."""
    with registry() as known:
        yield accesses.read(PROJECT, sources(**modules), known)


@contextmanager
def registry() -> Iterator[Registry]:
    """Give a registry with the models above alone."""
    apps = Apps([])
    before = Options.default_apps
    Options.default_apps = apps  # as django.test.utils.isolate_apps does
    try:
        exec(compile(MODELS, "models.py", "exec"), {"__name__": "shop.models"})
        config = AppConfigStub("shop")
        config.apps = apps
        config.models = apps.all_models["shop"]
        apps.app_configs["shop"] = config
        apps.clear_cache()
        yield Registry(apps)
    finally:
        Options.default_apps = before


def sources(**modules: str) -> Sources:
    """Parse modules of the app ``desk``, and those of the shop."""
    found = Sources()
    found.add(Module("shop.models", Path("shop/models.py"), "shop/models.py", ast.parse(MODELS), "shop"))
    found.add(
        Module(
            "work.desk",
            Path("work/desk/__init__.py"),
            "work/desk/__init__.py",
            ast.parse(""),
            "desk",
            package=True,
        )
    )
    for name, text in modules.items():
        file = f"work/desk/{name}.py"
        found.add(Module(f"work.desk.{name}", Path(file), file, ast.parse(textwrap.dedent(text)), "desk"))
    return found


def seen(engine: Engine, *, app: str = "desk") -> set[tuple[str, str]]:
    """Give the tables that the code writes or reads by queries, each with its verb."""
    return {
        (access.table, access.verb)
        for found in engine.found.values()
        for access in found.accesses
        if access.place.app == app and access.how != "attribute"
    }


def written(engine: Engine, *, app: str = "desk") -> set[tuple[str, str]]:
    """Give the tables that the code writes, each with its verb."""
    return {pair for pair in seen(engine, app=app) if pair[1] != "read"}


def columns(engine: Engine, table: str, verb: str) -> set[tuple[str, ...] | None]:
    """Give the columns that accesses of a table name."""
    return {
        access.columns
        for found in engine.found.values()
        for access in found.accesses
        if (access.table, access.verb) == (table, verb) and access.place.app == "desk"
    }


def called(engine: Engine) -> set[tuple[str, str, str]]:
    """Give all calls: caller, callee and how."""
    return {(call.caller, call.callee, call.how) for found in engine.found.values() for call in found.calls}
