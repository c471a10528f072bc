"""Names of models and fields in the admin, which can be translated: they are words of its pages, so the tables' migrations keep none."""

from django.db.models import Model
from django.utils.functional import Promise


def name(model: type[Model], one: str | Promise, many: str | Promise, **fields: str | Promise) -> None:
    """Name a model, one row and many, and some of its fields; each name a lazy translation."""
    model._meta.verbose_name, model._meta.verbose_name_plural = one, many
    for field, said in fields.items():
        model._meta.get_field(field).verbose_name = said
