"""Names of models and fields in the admin: they can be translated, and as words of its pages alone they make no migration."""

from typing import TYPE_CHECKING

from django.db.models import Model

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


def name(model: type[Model], one: "_StrPromise", many: "_StrPromise", **fields: "_StrPromise") -> None:
    """Name a model, for one row and for many, and some of its fields, each by a lazy translation."""
    model._meta.verbose_name, model._meta.verbose_name_plural = one, many
    known = {field.name: field for field in model._meta.fields}
    for field, said in fields.items():
        known[field].verbose_name = said
