"""Find which app's admin edits which model, and edits or shows others in the same page as inlines.

What the project's own hooks save or delete in Django's place is found where they are written (:mod:`.admin_hooks`), and left out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from microworkflows_xray.facts import Access, Place, Verb
from microworkflows_xray.project import Project
from microworkflows_xray.static.sources import Sources
from microworkflows_xray.static.where import Where

_HOOKS: dict[Verb, tuple[str, ...]] = {
    "insert": ("save_model",),
    "update": ("save_model",),
    "delete": ("delete_model", "delete_queryset"),
}
_INLINE_HOOKS = ("save_formset", "save_related")
_VERBS: dict[str, Verb] = {
    "has_add_permission": "insert",
    "has_change_permission": "update",
    "has_delete_permission": "delete",
}


def find(project: Project, sources: Sources, where: Where) -> list[Access]:
    """Give an access for each verb that the admins in the code that was looked at offer on each table; none without Django's admin."""
    from django.apps import apps

    if not apps.is_installed("django.contrib.admin"):
        return []
    from django.contrib.admin.sites import all_sites

    admins = [admin for site in all_sites for admin in site._registry.values()]  # noqa: SLF001  # get_model_admin() came with Django 5.0, and lists none
    found = [access for admin in admins for access in _accesses(sources, where, admin)]
    return [access for access in found if project.origin_of(access.place.app) in {"own", "fork"}]


def _accesses(sources: Sources, where: Where, admin: Any) -> Iterator[Access]:
    place = where.of(type(admin))
    possible = {*_INLINE_HOOKS, *(hook for hooks in _HOOKS.values() for hook in hooks)}
    hooks = {hook for hook in possible if _is_own(sources, type(admin), hook)}
    for access in _of_table(admin, type(admin), admin.model, "admin", place):
        if access.verb == "read" or not hooks.issuperset(_HOOKS[access.verb]):
            yield access
    yield from _links(admin, place)
    for inline in admin.inlines or ():
        model = getattr(inline, "model", None)
        if model is not None and hasattr(model, "_meta"):
            for access in _of_table(inline, inline, model, "admin inline", place):
                if access.verb in {"read", "delete"} or hooks.isdisjoint(_INLINE_HOOKS):
                    yield access


def _of_table(options: Any, kind: type, model: Any, how: str, place: Any) -> Iterator[Access]:
    from django.contrib.admin.options import BaseModelAdmin

    table = model._meta.concrete_model._meta.db_table
    yield Access(table, "read", None, how, place)
    for permission, verb in _VERBS.items():
        if not _refuses(kind, permission, BaseModelAdmin) and not (
            how == "admin inline" and _impossible(options, verb)
        ):
            yield Access(table, verb, None, how, place)


def _is_own(sources: Sources, kind: type, hook: str) -> bool:
    """Tell whether the code that is looked at defines a hook."""
    holder = next(base for base in kind.__mro__ if hook in vars(base))
    return f"{holder.__module__}.{holder.__qualname__}.{hook}" in sources.functions


def _links(admin: Any, place: Place) -> Iterator[Access]:
    """Give the many-to-many tables that an admin's form saves."""
    from django.contrib.admin.utils import flatten, flatten_fieldsets

    named = flatten_fieldsets(admin.fieldsets) if admin.fieldsets else admin.fields and flatten(admin.fields)
    left_out = {*(admin.exclude or ()), *(admin.readonly_fields or ())}
    for field in admin.model._meta.many_to_many:
        through = field.remote_field.through
        offered = field.editable and field.name not in left_out and (named is None or field.name in named)
        if offered and through._meta.auto_created:
            yield Access(through._meta.db_table, "insert", None, "admin", place)
            yield Access(through._meta.db_table, "delete", None, "admin", place)


def _refuses(kind: type, permission: str, base: type) -> bool:
    """Tell whether the class replaces this permission by a method that only returns False."""
    method = getattr(kind, permission, None)
    code = getattr(method, "__code__", None)
    plain = getattr(base, permission).__code__
    constants = code.co_consts if code is not None and code is not plain and not code.co_names else ()
    return False in constants and True not in constants


def _impossible(inline: Any, verb: Verb) -> bool:
    return (verb == "insert" and inline.max_num == 0) or (verb == "delete" and not inline.can_delete)
