"""Projects with read replicas: the kit reads where it writes."""

import pytest
from django.apps import apps
from django.db import models
from pytest_django import Settings

OWN = [
    model
    for model in apps.get_models()
    if model._meta.app_label in ("microworkflows", "microworkflows_cutover")
]


class ReadsFromReplica:
    """A router as Django's documentation shows it."""

    def db_for_read(self, model: type[models.Model], **hints: object) -> str:
        return "replica"

    def db_for_write(self, model: type[models.Model], **hints: object) -> str:
        return "default"


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.__name__)
def test_no_row_of_the_kit_is_read_from_a_replica(model: type[models.Model], settings: Settings) -> None:
    settings.DATABASE_ROUTERS = [ReadsFromReplica()]
    rows = model._default_manager

    assert rows.all().db == rows.filter(pk=1).order_by("pk").db == "default"
    assert rows.using("other").all().db == "other"
