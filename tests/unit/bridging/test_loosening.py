"""Loosening: which field takes a foreign key's place, and what of the model changes with it."""

import io
import uuid
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from microworkflows.bridging import loosening
from microworkflows.bridging.dangling import Dangling
from microworkflows.bridging.loosening import UnloosenableKeyError

pytestmark = pytest.mark.django_db


def key_to(target: "models.Field[Any, Any]", **given: Any) -> Any:
    """Return a foreign key to a model with this primary key, as the state of migrations has it."""
    state = ProjectState()
    state.add_model(ModelState("people", "Person", [("key", target)], managers=[]))
    kind = given.pop("kind", models.ForeignKey)
    key = kind("people.Person", models.CASCADE, **given)
    fields = [("id", models.BigAutoField(primary_key=True)), ("person", key)]
    state.add_model(ModelState("bills", "Bill", fields, managers=[]))
    return state.apps.get_model("bills", "Bill")._meta.get_field("person")


@pytest.mark.parametrize(
    ("target", "given", "made"),
    [
        (models.BigAutoField(primary_key=True), {}, models.BigIntegerField(db_index=True)),
        (models.AutoField(primary_key=True), {"null": True}, models.IntegerField(db_index=True, null=True)),
        (models.SmallAutoField(primary_key=True), {"db_index": False}, models.SmallIntegerField()),
        (models.PositiveIntegerField(primary_key=True), {}, models.IntegerField(db_index=True)),
        (
            models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False),
            {"blank": True, "db_column": "who"},
            models.UUIDField(db_index=True, blank=True, db_column="who"),
        ),
        (
            models.CharField(primary_key=True, max_length=12),
            {"kind": models.OneToOneField},
            models.CharField(unique=True, max_length=12),
        ),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, models.Field) else "",
)
def test_field_is_of_the_type_of_what_the_key_named_on_the_same_column(
    target: "models.Field[Any, Any]", given: dict[str, Any], made: "models.Field[Any, Any]"
) -> None:
    key = key_to(target, **given)

    field = loosening.plain(key)

    assert field.deconstruct()[1:] == made.deconstruct()[1:]
    field.set_attributes_from_name(key.attname)
    assert field.column == key.column


def test_migration_names_the_field_anew_wherever_the_model_lists_it() -> None:
    written = io.StringIO()

    call_command("loosen", "orders.OrderLine.product", dry_run=True, stdout=written)

    text, said = written.getvalue().split("In the model, replace product by\n")
    assert said.strip().startswith("product_id = models.BigIntegerField(db_index=True)")
    assert "In orders_line_one_per_product, name the new field." in said
    made: dict[str, Any] = {}
    exec(text, made)
    migration = made["Migration"]
    assert migration.atomic is False
    (operation,) = migration.operations
    assert (operation.model_name, operation.name, operation.to) == ("orderline", "product", "orders.Product")
    assert [type(each).__name__ for each in operation.state_operations] == [
        *("RemoveConstraint", "RemoveField", "AddField", "AddConstraint")
    ]
    assert operation.state_operations[-1].constraint.fields == ("order", "product_id")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("orders.OrderLine", "Name the key as app_label.Model.field"),
        ("nobody.Order.line", "The app nobody has no migrations"),
        ("orders.Nothing.line", "no such model"),
        ("orders.OrderLine.nothing", "has no field named 'nothing'"),
        ("orders.OrderLine.quantity", "is a PositiveIntegerField, no foreign key"),
    ],
)
def test_what_is_no_key_is_refused_with_the_reason(key: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("loosen", key, dry_run=True)


def test_model_that_would_be_wrong_without_the_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    order_line = ProjectState.from_apps(MigrationLoader(None).project_state().apps)
    state = order_line.models["orders", "orderline"]
    condition = models.CheckConstraint(condition=models.Q(product__gt=0), name="some_product")
    state.options["constraints"] = [*state.options["constraints"], condition]
    monkeypatch.setattr(MigrationLoader, "project_state", lambda self: order_line)

    with pytest.raises(UnloosenableKeyError, match="'constraints' refers to the nonexistent field 'product'"):
        loosening.loosen("orders", "OrderLine", "product")


def test_check_of_keys_that_nobody_loosened_is_no_good_news() -> None:
    with pytest.raises(CommandError, match="No migration has loosened a key") as found:
        call_command("loosen", check=True)

    assert found.value.returncode == 2


def test_dangling_ids_are_counted_and_the_first_are_named() -> None:
    assert str(Dangling(12, 40, (1, 2))) == "40 rows name 12 ids that are not there: 1, 2 and 10 more"
    assert str(Dangling(0, 0, ())) == "every id names a row"
