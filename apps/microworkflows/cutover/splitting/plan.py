"""The plan of a move, said before it begins: what is copied when, which tables will refuse, which stay open, and which code may touch them."""

from collections import defaultdict
from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows.cutover import coupling, footprints
from microworkflows.cutover.splitting import others, preflight, shapes, tables
from microworkflows.cutover.splitting.databases import address, rows

_MOST_PLACES = 20
"""Number of places that are named; all of them are in the coupling's and the X-ray's own reports."""


def lines(context: str, source: BaseDatabaseWrapper, target: BaseDatabaseWrapper) -> Iterator[str]:
    """Yield the plan, line by line; for a context that moves back nothing is fenced off."""
    yield from _copied(context, source)
    if preflight.was_left(target, context):
        yield f"{context} moves back to {address(target)}; no table of others is fenced off there."
        return
    owners = others.made_for(target) or {context}
    fenced = others.of_others(owners)
    by_app: dict[str, list[str]] = defaultdict(list)
    for table, model in sorted(fenced.items()):
        by_app[model._meta.app_label].append(table)
    yield f"In {address(target)}, {len(fenced)} tables of others will refuse to be read and written:"
    for app, names in sorted(by_app.items()):
        yield f"  {app}: {', '.join(names)}"
    yield "  and every table there that belongs to no model"
    yield f"  left open, since each database has its own: {', '.join(others.everywhere(owners)) or 'none'}"
    yield f"Code of {context} that may come up against them, or write its own copy of what is left open:"
    yield from _code(context, set(fenced))


def _copied(context: str, source: BaseDatabaseWrapper) -> Iterator[str]:
    """Yield what is copied while the context works, and what makes its pause longer."""
    own = tables.of_context(source, context)
    sizes = {table.name: _size(source, table.name) for table in own}
    yield f"Copied while {context} works:"
    yield from (f"  {table.name} ({sizes[table.name]})" for table in own if table.key)
    if without := [table for table in own if not table.key]:
        yield "Copied within the pause, which grows with them, since nothing tells their rows apart; a primary key would:"
        yield from (f"  {table.name} ({sizes[table.name]})" for table in without)
    if triggers := shapes.triggers(source, [table for table in own if not table.of_events]):
        yield (
            f"Triggers of its tables, which leave rows that arrive as they are, and act in the target later: {', '.join(triggers)}. "
            "What they read and write has to be there."
        )
    yield (
        "Its content types and permissions are made anew in the target, with ids of their own; who has which permission there, "
        "and the admin's log entries, stay behind."
    )


def _size(connection: BaseDatabaseWrapper, table: str) -> str:
    """Return a table's size and PostgreSQL's estimate of its rows."""
    ((size, number),) = rows(
        connection,
        "SELECT pg_size_pretty(pg_table_size(oid)), reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(%s))",
        [table],
    )
    return size if number < 0 else f"{size}, about {number} rows"


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
