"""The schema: what stages 0 to 7 have migrated a database to is what the shop's own migrations would have made."""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from migrations_guide.engine import stages, working_copy
from migrations_guide.engine.stages import ROOT
from migrations_guide.engine.verifying import stage_environment
from project.processes import servers as server
from tests import servers

COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale,
       is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> ALL (%s) ORDER BY 1, 2
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND NOT conrelid::regclass::text = ANY (%s) ORDER BY 1, 2
"""
INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> ALL (%s) ORDER BY 1, 2
"""
FOREIGN_KEYS = """
SELECT conrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND confrelid::regclass::text IN ('orders_order', 'orders_product') ORDER BY 1
"""


def database(name: str) -> AbstractContextManager[str]:
    """Return a new database; its URL is the context."""
    return server.database(servers.postgres_url(), f"{servers.RUN}_{name}")


def migrate(folder: Path, url: str, *arguments: str) -> None:
    """Migrate a database with the code in a folder."""
    environment = stage_environment(folder, {**os.environ, "DATABASE_URL": url})
    source = os.pathsep.join([str(folder), str(folder / "apps")])
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *arguments]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def migrations_and_settings(number: int) -> dict[str, str]:
    """Return what decides what a stage's code makes of a database."""
    return {
        name: text
        for name, text in stages.files(number).items()
        if "/migrations/" in name or name == "project/settings.py"
    }


def ask(url: str, question: str, *, without: list[str]) -> list[tuple[object, ...]]:
    """Ask a database."""
    with psycopg.connect(url) as connection:
        return (
            connection.execute(question, [without]).fetchall()
            if "%s" in question
            else connection.execute(question).fetchall()
        )


def tables_of(url: str, *guests: str) -> list[str]:
    """Return the names of the tables of some of the kit's optional apps."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables").fetchall()
    return [name for (name,) in found if name.startswith(tuple(f"microworkflows_{each}_" for each in guests))]


@pytest.mark.slow
@pytest.mark.postgres
def test_database_that_came_all_the_way_has_the_schema_of_the_shop(tmp_path: Path) -> None:
    with database("walked") as walked, database("new") as new:
        migrations: dict[str, str] = {}
        for number in range(8):
            before, migrations = migrations, migrations_and_settings(number)
            if migrations != before:
                folder = working_copy.compose(number, into=tmp_path / f"stage-{number}")
                migrate(folder, walked)
        migrate(ROOT, new)
        going, coming = tables_of(walked, "cutover"), tables_of(new, "journal", "metrics", "problems")

        assert going
        assert coming
        for question in (COLUMNS, CONSTRAINTS, INDEXES):
            assert ask(walked, question, without=going) == ask(new, question, without=coming)


@pytest.mark.slow
@pytest.mark.postgres
def test_foreign_keys_are_dropped_at_stage_7_and_come_again_on_the_way_back(tmp_path: Path) -> None:
    folder = working_copy.compose(7, into=tmp_path)

    with database("back") as url:
        migrate(folder, url, "inventory", "0003")
        migrate(folder, url, "shipping", "0003")
        migrate(folder, url, "payments", "0001")
        before = [ask(url, question, without=[]) for question in (COLUMNS, CONSTRAINTS, INDEXES)]
        migrate(folder, url)
        assert ask(url, FOREIGN_KEYS, without=[]) == [("orders_orderline",), ("orders_orderline",)]

        migrate(folder, url, "payments", "0001")
        migrate(folder, url, "inventory", "0003")
        migrate(folder, url, "shipping", "0003")

        # The kit's and Django's own tables were not there yet.
        after = [ask(url, question, without=[]) for question in (COLUMNS, CONSTRAINTS, INDEXES)]
        for rows, present in zip(before, after, strict=True):
            tables = {row[0] for row in rows}
            assert [row for row in present if row[0] in tables] == rows


def test_stage_8_has_the_settings_of_the_shop_and_the_app_that_moves_databases() -> None:
    shop = (ROOT / "project/settings.py").read_text().splitlines()
    stage = stages.files(8)["project/settings.py"].splitlines()

    assert [line for line in stage if line not in shop] == [
        '    "microworkflows.cutover",  # split_database: to move a database back, or to empty the tables left behind'
    ]
    only_in_the_shop = [line for line in shop if line not in stage]
    assert only_in_the_shop
    assert [line for line in only_in_the_shop if "journal" not in line.lower()] == [
        '    "microworkflows.problems",',
        "MICROWORKFLOWS |= {",
    ]
