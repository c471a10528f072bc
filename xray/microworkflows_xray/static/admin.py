"""Find which app's admin edits which model, and edits or shows others in the same page as inlines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from microworkflows_xray.facts import Access, Verb
from microworkflows_xray.project import Project
from microworkflows_xray.static.where import Where

_VERBS: dict[str, Verb] = {
    "has_add_permission": "insert",
    "has_change_permission": "update",
    "has_delete_permission": "delete",
}


def find(project: Project, where: Where) -> list[Access]:
    """Give an access for each verb that the admins in the code that was looked at offer on each table; none without Django's admin."""
    from django.apps import apps

    if not apps.is_installed("django.contrib.admin"):
        return []
    from django.contrib.admin.sites import all_sites

    admins = [admin for site in all_sites for admin in site._registry.values()]  # noqa: SLF001  # get_model_admin() came with Django 5.0, and lists none
    found = [access for admin in admins for access in _accesses(where, admin)]
    return [access for access in found if project.origin_of(access.place.app) in {"own", "fork"}]


def _accesses(where: Where, admin: Any) -> Iterator[Access]:
    place = where.of(type(admin))
    yield from _of_table(admin, type(admin), admin.model, "admin", place)
    for inline in admin.inlines or ():
        model = getattr(inline, "model", None)
        if model is not None and hasattr(model, "_meta"):
            yield from _of_table(inline, inline, model, "admin inline", place)


def _of_table(options: Any, kind: type, model: Any, how: str, place: Any) -> Iterator[Access]:
    from django.contrib.admin.options import BaseModelAdmin

    table = model._meta.concrete_model._meta.db_table
    yield Access(table, "read", None, how, place)
    for permission, verb in _VERBS.items():
        if not _refuses(kind, permission, BaseModelAdmin) and not (
            how == "admin inline" and _impossible(options, verb)
        ):
            yield Access(table, verb, None, how, place)


def _refuses(kind: type, permission: str, base: type) -> bool:
    """Tell whether the class replaces this permission by a method that only returns False."""
    method = getattr(kind, permission, None)
    code = getattr(method, "__code__", None)
    plain = getattr(base, permission).__code__
    constants = code.co_consts if code is not None and code is not plain and not code.co_names else ()
    return False in constants and True not in constants


def _impossible(inline: Any, verb: Verb) -> bool:
    return (verb == "insert" and inline.max_num == 0) or (verb == "delete" and not inline.can_delete)
