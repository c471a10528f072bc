"""The plan of a move, said before it begins: which tables will refuse, which stay open, and which code may touch them."""

from collections import defaultdict
from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows.cutover import coupling, footprints
from microworkflows.cutover.splitting import others, preflight
from microworkflows.cutover.splitting.databases import address

_MOST_PLACES = 20
"""Number of places that are named; all of them are in the coupling's and the X-ray's own reports."""


def lines(context: str, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper) -> Iterator[str]:
    """Yield the plan, line by line; for a context that moves back nothing is fenced off."""
    if preflight.was_left(target, context):
        yield f"{context} moves back to {address(target)}; no table of others is fenced off there."
        return
    owners = others.made_for(target) or {context}
    fenced = others.of_others(owners)
    by_app: dict[str, list[str]] = defaultdict(list)
    for table, model in sorted(fenced.items()):
        by_app[model._meta.app_label].append(table)
    yield f"In {address(target)}, {len(fenced)} tables of others will refuse to be read and written:"
    for app, tables in sorted(by_app.items()):
        yield f"  {app}: {', '.join(tables)}"
    yield "  and every table there that belongs to no model"
    yield f"  left open, since each database has its own: {', '.join(others.everywhere(owners)) or 'none'}"
    yield f"Code of {context} that may come up against them, or write its own copy of what is left open:"
    yield from _code(context, set(fenced))


def _code(context: str, fenced: set[str]) -> Iterator[str]:
    report = coupling.of_app(context)
    places = [
        f"  {bond.file}:{bond.line}  {bond.kind}  {bond.what}" for pair in report.pairs for bond in pair.bonds
    ]
    yield from places[:_MOST_PLACES] or ["  none by import or foreign key"]
    if len(places) > _MOST_PLACES:
        yield f"  and {len(places) - _MOST_PLACES} more: see `manage.py coupling --of {context} …`"
    for gap in report.not_looked_at:
        yield f"  not looked at: {gap}"
    yield "  Not looked at: SQL in strings, relations followed backwards, and what other code does for it."
    yield from (f"  {line}" for line in footprints.touching(context, fenced))
