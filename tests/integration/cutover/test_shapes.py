"""A foreign monolith has tables of many kinds: each moves rightly, or is refused before anything is copied."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.core.management import CommandError
from django.db import models

from tests.integration.cutover import shop, writers
from tests.integration.cutover.conftest import On

pytestmark = pytest.mark.postgres


@pytest.fixture
def target(prepared: str) -> str:
    """Return the URL of the database that a context moves to."""
    return prepared


MOVED = {
    "kind_partitioned": (
        "(a int, b int, PRIMARY KEY (b, a)) PARTITION BY RANGE (b); CREATE TABLE low PARTITION OF {} FOR VALUES FROM (0) TO (500)",
        "i, i",
    ),
    "kind_identity": ("(a int, b int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)", None),
    "kind_identity_no_key": ("(a int, b int GENERATED ALWAYS AS IDENTITY)", None),
    "kind_generated": ("(a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED)", None),
    "kind_generated_key": ("(a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)", None),
    "kind_composite": ("(a int, b text, PRIMARY KEY (b, a))", "i, i % 7"),
    'Kind "quoted" %s': ('(a int PRIMARY KEY, "Order by ""x"" %s" int DEFAULT 3)', "i, i"),
    "kind_of_another_schema": ("(a int PRIMARY KEY, b int); ALTER TABLE {} SET SCHEMA \"Own\"", "i, i"),
    "kind_wide": ("(a int PRIMARY KEY, b text)", "i, repeat('x', CASE i WHEN 7 THEN 30000000 ELSE 9 END)"),
    "kind_policy": ("(a int PRIMARY KEY, b int); CREATE POLICY own ON {} USING (a < 10); ALTER TABLE {} ENABLE ROW LEVEL SECURITY", "i, i"),
    "kind_trigger": ("(a int PRIMARY KEY, b int); CREATE TRIGGER own BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION own()", "i, i"),
    "kind_viewed": ("(a int PRIMARY KEY, b int); CREATE VIEW seen AS SELECT a FROM {}; CREATE MATERIALIZED VIEW kept AS TABLE seen", "i, i"),
    "kind_unlogged": ("(a int PRIMARY KEY, b int)", "i, i"),
}  # fmt: skip
"""Columns and what follows, and values; a table that is refilled by ``a`` alone has none."""

REFUSED = {
    "bad_parent": (
        "(a int PRIMARY KEY); CREATE TABLE child (b int) INHERITS ({})",
        "",
        "bad_parent inherits, or is inherited from",
    ),
    "bad_rule": (
        "(a int); CREATE RULE own AS ON INSERT TO {} WHERE NEW.a < 0 DO INSTEAD NOTHING",
        "(a int)",
        "bad_rule has rules",
    ),
    "bad_nothing": ("()", "()", "bad_nothing has no column to copy"),
    "bad_view": (None, None, "bad_view is no table here"),
}
"""What is there, what the target has, and what is said; at once."""

DIFFERENT = {
    "own_parts": (
        "(a int PRIMARY KEY) PARTITION BY RANGE (a); CREATE TABLE p PARTITION OF {} FOR VALUES FROM (0) TO (9)",
        "(a int PRIMARY KEY) PARTITION BY RANGE (a)",
        "partition p of own_parts",
    ),
    "own_trigger": (
        "(a int PRIMARY KEY); CREATE TRIGGER by_hand BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION own()",
        "(a int PRIMARY KEY)",
        "trigger by_hand of own_trigger",
    ),
    "own_policy": (
        "(a int PRIMARY KEY); CREATE POLICY by_hand ON {}; ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
        "(a int PRIMARY KEY)",
        "policy by_hand of own_policy, row-level security of own_policy",
    ),
    "own_check": (
        "(a int PRIMARY KEY CHECK (a > 0))",
        "(a int PRIMARY KEY)",
        "constraint own_check_a_check of own_check",
    ),
    "own_default": (
        "(a int PRIMARY KEY DEFAULT 3)",
        "(a int PRIMARY KEY)",
        "default a of own_default",
    ),
    "own_unique": (
        "(a int PRIMARY KEY); CREATE UNIQUE INDEX by_hand ON {} (a) WHERE a > 3",
        "(a int PRIMARY KEY)",
        "unique index by_hand of own_unique",
    ),
    "own_view": (
        "(a int PRIMARY KEY); CREATE VIEW seen AS TABLE {}",
        "(a int PRIMARY KEY)",
        "view seen of own_view",
    ),
    "own_names": (
        "(a int, CONSTRAINT old PRIMARY KEY (a), CONSTRAINT older CHECK (a > 0))",
        "(a int, CONSTRAINT new PRIMARY KEY (a), CONSTRAINT newer CHECK (a > 0))",
        "",
    ),
}
"""The same; but it is said once the target's tables are made."""


def make(name: str, rest: str) -> None:
    """Make a table; ``{}`` is its name."""
    quoted = '"' + name.replace('"', '""') + '"'
    shop.execute(f"CREATE TABLE {quoted} {rest.replace('{}', quoted)}")


@contextmanager
def of_payments(*tables: str) -> Iterator[None]:
    """Let payments have models of these tables in the block."""
    made: list[type[models.Model]] = [
        type(
            f"Kind{number}",
            (models.Model,),
            {
                "__module__": "payments.models",
                "a": models.IntegerField(primary_key=True),
                "Meta": type("Meta", (), {"app_label": "payments", "db_table": table}),
            },
        )
        for number, table in enumerate(tables)
    ]
    try:
        yield
    finally:
        for model in made:
            del apps.all_models["payments"][model.__name__.lower()]
        apps.clear_cache()


def test_kinds_that_move(source: str, target: str, on: On, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(url: str) -> None:
        shop.execute(
            'CREATE SCHEMA "Own"', f"ALTER DATABASE {url.rpartition('/')[2]} SET search_path = public, \"Own\"",
            'SET search_path = public, "Own"',
            "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.b = NEW.b + 1000; RETURN NEW; END'",
        )  # fmt: skip
        for name, (rest, _) in MOVED.items():
            make(name, rest)

    prepare(source)
    for name, (_, values) in MOVED.items():
        quoted = '"' + name.replace('"', '""') + '"'
        into = f"{quoted} SELECT {values}" if values else f"{quoted} (a) SELECT i"
        shop.execute(f"INSERT INTO {into} FROM generate_series(1, 120) AS i")
    shop.execute("ALTER TABLE kind_unlogged SET UNLOGGED")
    with on(target):
        prepare(target)

    with of_payments(*MOVED):
        said = shop.split(to=target)

    assert "act in the target later: own of kind_trigger." in said
    for name in MOVED:
        quoted = '"' + name.replace('"', '""') + '"'
        assert writers.checksum(source, quoted) == writers.checksum(target, quoted), name
        assert writers.checksum(target, quoted)[0] == 120
    with on(target):
        assert shop.texts("SELECT count(*)::text FROM kept") == ["120"]
        shop.execute("INSERT INTO kind_trigger VALUES (121, 0)")
        assert shop.texts("SELECT b::text FROM kind_trigger WHERE a = 121") == ["1000"]
        shop.execute("INSERT INTO kind_identity (a) VALUES (1)")
        assert shop.texts("SELECT max(b)::text FROM kind_identity") == ["121"]


def test_kinds_that_cannot_move_are_named_before_anything_is_done(source: str, target: str) -> None:
    for name, (rest, _, _) in REFUSED.items():
        if rest is None:
            shop.execute(f"CREATE VIEW {name} AS SELECT 1 AS a")
        else:
            make(name, rest)

    with of_payments(*REFUSED, 'a"."b'), pytest.raises(CommandError) as refusal:
        shop.split(to=target)

    assert 'a"."b is no table here' in str(refusal.value)
    for _, _, said in REFUSED.values():
        assert said in str(refusal.value)
    assert shop.move() is None
    assert shop.left_behind() == []


def test_what_was_made_by_hand_and_is_absent_in_the_target_is_named_before_anything_is_copied(
    source: str, target: str, on: On
) -> None:
    function = "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    shop.execute(function)
    for name, (rest, _, _) in DIFFERENT.items():
        make(name, rest)
    with on(target):
        for name, (_, rest, _) in DIFFERENT.items():
            make(name, rest)

    with of_payments(*DIFFERENT), pytest.raises(CommandError) as refusal:
        shop.split(to=target)

    (line,) = [line for line in str(refusal.value).splitlines() if "no migration made it" in line]
    for name, (_, _, said) in DIFFERENT.items():
        assert said in line if said else name not in line
    assert shop.left_behind() == []
    noted = shop.move()
    assert noted is not None
    assert noted.step == "prepare"


def test_column_of_another_type(source: str, target: str) -> None:
    shop.execute("ALTER TABLE payments_payment ALTER amount TYPE double precision")

    with pytest.raises(CommandError, match=r"payments_payment: other columns in .*, by name or type"):
        shop.split(to=target)


def test_rows_that_row_level_security_hides_from_the_mover(source: str, target: str) -> None:
    shop.execute(
        "ALTER TABLE payments_payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        "DROP ROLE IF EXISTS microworkflows_hidden",
        "CREATE ROLE microworkflows_hidden",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO microworkflows_hidden",
        "SET ROLE microworkflows_hidden",
    )
    try:
        with pytest.raises(CommandError, match=r"payments_payment hides rows in .*BYPASSRLS"):
            shop.split(to=target, check=True)
    finally:
        shop.execute("RESET ROLE", "DROP OWNED BY microworkflows_hidden", "DROP ROLE microworkflows_hidden")
