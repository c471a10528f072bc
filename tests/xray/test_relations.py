from __future__ import annotations

import django
import pytest

from microworkflows_xray.facts import Relation
from tests.xray import looking


def relation(project: str, model: str, field: str) -> Relation:
    (found,) = (
        each for each in looking.look(project).relations if (each.model, each.field) == (model, field)
    )
    return found


@pytest.mark.parametrize(
    ("model", "field", "to", "kind", "on_delete", "constraint"),
    [
        ("herbarium.Specimen", "collector", "herbarium.Collector", "foreign key", "SET", True),
        ("herbarium.Specimen", "neighbours", "herbarium.Specimen", "many to many", "", True),
        ("herbarium.Specimen", "rooms", "loans.Room", "many to many", "", True),
        ("herbarium.Specimen", "stickers", "labels2go.Sticker", "generic", "CASCADE", False),
        (
            "herbarium.Specimen_neighbours",
            "from_specimen",
            "herbarium.Specimen",
            "foreign key",
            "CASCADE",
            True,
        ),
        ("herbarium.TypeSpecimen", "specimen_ptr", "herbarium.Specimen", "inheritance", "CASCADE", True),
        ("herbarium.TypeSpecimen", "twin", "herbarium.TypeSpecimen", "one to one", "RESTRICT", True),
        ("labels2go.Sticker", "kind", "contenttypes.ContentType", "foreign key", "CASCADE", True),
        ("labels2go.Sticker", "thing", "*", "generic", "", False),
        ("loans.Stay", "specimen", "herbarium.Specimen", "foreign key", "DO_NOTHING", False),
    ],
)
def test_a_relation_says_its_kind_its_rule_of_deletion_and_whether_the_database_holds_it(
    model: str, field: str, to: str, kind: str, on_delete: str, constraint: bool
) -> None:
    found = relation("noadmin", model, field)

    assert (found.to, found.kind, found.on_delete, found.constraint) == (to, kind, on_delete, constraint)


def test_a_cascade_that_the_database_does_is_named_apart() -> None:
    found = relation("noadmin", "loans.Stay", "room")

    assert found.on_delete == ("DB_CASCADE" if django.VERSION >= (6, 1) else "CASCADE")


def test_a_field_stands_where_it_is_written_even_in_an_abstract_model() -> None:
    place = relation("noadmin", "herbarium.Specimen", "collector").place

    assert (place.file, place.line, place.function) == ("herbarium/models.py", 6, "herbarium.models.Stamped")


def test_a_proxy_has_no_table_and_an_unmanaged_model_has() -> None:
    models = {model.label: model for model in looking.look("noadmin").models}

    assert "herbarium.Fern" not in models
    assert (models["loans.Ledger"].table, models["loans.Ledger"].managed) == ("old_ledger", False)


def test_a_column_is_called_as_in_the_database() -> None:
    (ware,) = (model for model in looking.look("rqshop").models if model.label == "lager.Ware")

    assert ware.columns == ("bezeichnung", "id", "preis", "verkauft")


def test_a_table_of_a_many_to_many_field_stands_where_the_field_does() -> None:
    (table,) = (
        model for model in looking.look("noadmin").models if model.table == "herbarium_specimen_neighbours"
    )

    assert (table.place.line, table.app) == (18, "herbarium")
