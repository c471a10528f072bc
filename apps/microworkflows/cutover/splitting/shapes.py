"""Shapes: tables of every kind are moved rightly, or named before anything is copied; what hangs on them must be in both databases."""

from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL

from microworkflows.cutover.splitting.databases import address, execute, rows
from microworkflows.cutover.splitting.tables import Table

_UNMOVABLE = {
    "is no table here": "the search path shows no table of that name; a view or a foreign table cannot be moved",
    "has no column to copy": "it has no column, or only such as the database computes",
    "has rules": "they would act on the rows that arrive. Write triggers in their place",
    "inherits, or is inherited from": "a row would show in several tables. Make plain or partitioned ones of them",
    "hides rows": "row-level security applies to this role, which would not see all. Run this as the table's owner, without FORCE ROW "
    "LEVEL SECURITY, or as a role with BYPASSRLS",
}
"""What stands in the way, and why."""

_HANGING = """
    WITH RECURSIVE own AS (
      SELECT pg_class.oid, relname AS own FROM unnest(%s::text[]) AS name JOIN pg_class ON oid = to_regclass(quote_ident(name))
    ), reading (base, oid) AS (
      SELECT oid, oid FROM own
      UNION SELECT base, ev_class FROM reading JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = reading.oid
       AND classid = 'pg_rewrite'::regclass JOIN pg_rewrite ON pg_rewrite.oid = objid
    ), found (oid, kind, name, text, place) AS (
      SELECT conrelid, 'constraint', conname, pg_get_constraintdef(oid), 0::oid FROM pg_constraint
       WHERE conparentid = 0 AND contype IN ('c', 'f', 'p', 'u', 'x')
      UNION ALL
      SELECT indrelid, 'unique index', relname, pg_get_indexdef(indexrelid), 0 FROM pg_index JOIN pg_class ON oid = indexrelid
       WHERE indisunique AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
      UNION ALL
      SELECT tgrelid, 'trigger', tgname, pg_get_triggerdef(oid), 0 FROM pg_trigger
       WHERE NOT tgisinternal AND tgparentid = 0 AND NOT starts_with(tgname, 'microworkflows_')
      UNION ALL
      SELECT polrelid, 'policy', polname, polname::text, 0 FROM pg_policy
      UNION ALL
      SELECT oid, 'row-level security', '', '', 0 FROM pg_class WHERE relrowsecurity
      UNION ALL
      SELECT own.oid, 'partition', relname, pg_get_expr(relpartbound, pg_class.oid), 0 FROM own CROSS JOIN pg_partition_tree(own.oid)
       JOIN pg_class ON pg_class.oid = relid WHERE level > 0
      UNION ALL
      SELECT adrelid, 'default', attname, pg_get_expr(adbin, adrelid), 0 FROM pg_attrdef
       JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
       WHERE attgenerated = '' AND NOT starts_with(pg_get_expr(adbin, adrelid), 'nextval(')
      UNION ALL
      SELECT base, CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, relname, oid::regclass::text, oid
       FROM reading JOIN pg_class USING (oid) WHERE relkind IN ('v', 'm')
    ) SELECT own, kind, found.name, text FROM own JOIN found USING (oid) ORDER BY kind, place, own, found.name
"""
"""Table, kind, name and definition of what acts on the rows of a table, or reads them, by way of views too."""


def unmovable(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> Iterator[str]:
    """Yield the reasons why tables cannot be copied row by row."""
    found = rows(
        connection,
        "SELECT name, relkind IS NULL OR relkind NOT IN ('r', 'p'), NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = oid"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = ''), EXISTS (SELECT FROM pg_rewrite WHERE ev_class = own.oid),"
        " EXISTS (SELECT FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
        " WHERE inhrelid = own.oid OR inhparent = own.oid AND NOT child.relispartition),"
        " oid IS NOT NULL AND row_security_active(oid)"
        " FROM unnest(%s::text[]) AS name LEFT JOIN pg_class AS own ON oid = to_regclass(quote_ident(name)) ORDER BY name",
        [[table.name for table in tables]],
    )
    for name, *signs in found:
        problem = next((problem for problem, is_so in zip(_UNMOVABLE, signs, strict=True) if is_so), None)
        if problem is not None:
            yield f"{name} {problem} in {address(connection)}: {_UNMOVABLE[problem]}."


def missing(
    source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, tables: Sequence[Table]
) -> Iterator[str]:
    """Yield a problem if something hangs on tables of the source, made by hand perhaps, and is absent in the target."""
    there = _hanging(target, tables)
    known = {
        key for table, kind, name, text in there for key in ((table, kind, name), (table, kind, None, text))
    }
    absent = [
        f"{kind} {name} of {table}" if name else f"{kind} of {table}"
        for table, kind, name, text in _hanging(source, tables)
        if not {(table, kind, name), (table, kind, None, text)} & known
    ]
    if absent:
        yield (
            f"{', '.join(absent)}: in {address(source)}, and no migration made it in {address(target)}. Make it there, by hand or by "
            "a migration, and run this again; or drop it here, if nobody needs it any more."
        )


def triggers(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> list[str]:
    """Return the triggers of tables that are not the kit's."""
    found = _hanging(connection, tables)
    return [f"{name} of {table}" for table, kind, name, _ in found if kind == "trigger"]


def refresh(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> None:
    """Fill the materialized views that read these tables, the older ones first: newer ones may read them."""
    views = [text for _, kind, _, text in _hanging(connection, tables) if kind == "materialized view"]
    for view in dict.fromkeys(views):
        execute(connection, SQL("REFRESH MATERIALIZED VIEW {}").format(SQL(view)))


def _hanging(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> list[tuple[str, str, str, str]]:
    return rows(connection, _HANGING, [[table.name for table in tables]])
