"""Tables of a statement, held against what SQLite says of it when it prepares it."""

import sqlite3

import pytest

from microworkflows.cutover.unplugging import statements

SCHEMA = """
    CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, item INTEGER);
    CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, person INTEGER);
    CREATE TABLE "Odd name" (id INTEGER PRIMARY KEY, item INTEGER);
"""
NAMES = {"person", "item", "odd name"}
READS = [
    "SELECT 1",
    "SELECT id FROM person",
    "select p.item from Person as p where p.name = 'FROM item'",
    'SELECT "person"."item" FROM "person" -- FROM item',
    "SELECT /* , item */ name FROM person",
    "SELECT person.name FROM person, item AS i WHERE i.id = 1 AND person.id = 1",
    "SELECT count(*) FROM (SELECT id FROM item) AS x",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM person JOIN item ON item.person = person.id)",
    "SELECT (SELECT max(id) FROM item), id FROM person ORDER BY name",
    "WITH x AS (SELECT * FROM item) SELECT * FROM x LEFT OUTER JOIN person ON person.id = x.person",
    "SELECT id FROM person UNION SELECT id FROM item",
    'SELECT * FROM "Odd name"',
    "SELECT * FROM main.person",
    "SELECT replace(name, 'a', 'b') FROM person",
    "SELECT name IS NOT DISTINCT FROM item FROM person",
    "SELECT * FROM (person JOIN item ON item.id = person.item)",
]
WRITES = [
    ("INSERT INTO item (name, person) VALUES ('UPDATE person', 1)", {"item": "insert"}),
    ("INSERT INTO item (name) SELECT name FROM person", {"item": "insert", "person": "read"}),
    (
        "INSERT INTO item (id, name) VALUES (1, 'a') ON CONFLICT (name) DO UPDATE SET person = 2",
        {"item": "insert"},
    ),
    ("REPLACE INTO item (id) VALUES (1)", {"item": "insert"}),
    ("UPDATE item SET person = person + 1 WHERE 1 = 0", {"item": "update"}),
    (
        "UPDATE item SET name = person.name FROM person WHERE person.item = item.id",
        {"item": "update", "person": "read"},
    ),
    (
        "DELETE FROM item WHERE person IN (SELECT id FROM person WHERE name = ',')",
        {"item": "delete", "person": "read"},
    ),
    (
        "WITH x AS (SELECT id FROM person) DELETE FROM item WHERE id IN x",
        {"item": "delete", "person": "read"},
    ),
]
_ACTIONS = {
    sqlite3.SQLITE_READ: "read",
    sqlite3.SQLITE_INSERT: "insert",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete",
}


def ours(sql: str) -> dict[str, str]:
    return {name: verb for name, verb in statements.tables(sql).items() if name in NAMES}


def of_sqlite(sql: str) -> set[str]:
    """Return the tables that SQLite asks about when it prepares a statement."""
    database, tables = sqlite3.connect(":memory:"), set()

    def note(action: int, table: str | None, *_: object) -> int:
        if action in _ACTIONS and table is not None and table.lower() in NAMES:
            tables.add(table.lower())
        return sqlite3.SQLITE_OK

    database.executescript(SCHEMA)
    database.set_authorizer(note)
    database.execute(sql)
    database.close()
    return tables


@pytest.mark.parametrize("sql", READS)
def test_tables_that_are_read_are_those_that_sqlite_names(sql: str) -> None:
    assert set(ours(sql)) == of_sqlite(sql)
    assert set(ours(sql).values()) <= {"read"}


@pytest.mark.parametrize(("sql", "tables"), WRITES, ids=[sql for sql, _ in WRITES])
def test_tables_that_are_written_are_those_that_sqlite_names(sql: str, tables: dict[str, str]) -> None:
    assert ours(sql) == tables
    assert set(tables) == of_sqlite(sql)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('DELETE FROM ONLY "public"."item" USING person p', {"item": "delete", "person": "read"}),
        ("TRUNCATE TABLE person, item", {"person": "delete", "item": "read"}),
        ("COPY item (name) FROM STDIN", {"item": "read"}),
        ("LOCK TABLE item IN SHARE MODE", {"item": "read"}),
        ("SELECT $$ FROM item $$ FROM person FOR UPDATE OF person SKIP LOCKED", {"person": "read"}),
        (r"SELECT E'\' FROM item' FROM person", {"person": "read"}),
        (
            "MERGE INTO item USING person ON person.item = item.id WHEN MATCHED THEN DELETE",
            {"item": "update", "person": "read"},
        ),
        (
            "SELECT * FROM person CROSS JOIN LATERAL (SELECT * FROM item) x",
            {"person": "read", "item": "read"},
        ),
        ("SAVEPOINT item", {}),
    ],
)
def test_tables_of_what_only_postgresql_knows(sql: str, tables: dict[str, str]) -> None:
    assert ours(sql) == tables
