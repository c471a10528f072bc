"""The reader of SQL is right about what Django's compilers emit, and about what people write."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, TruncMonth
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from microworkflows_xray import sql
from microworkflows_xray.sql import Statement

USER, GROUP, PERMISSION, KIND = "auth_user", "auth_group", "auth_permission", "django_content_type"
MEMBERS, GRANTS, RIGHTS = "auth_user_groups", "auth_group_permissions", "auth_user_user_permissions"

PARTS: list[tuple[str, models.QuerySet[User], set[str]]] = [
    ("plain", User.objects.all(), set()),
    ("join", User.objects.filter(groups__name="x"), {MEMBERS, GROUP}),
    (
        "deep join",
        User.objects.filter(groups__permissions__content_type__model="x"),
        {MEMBERS, GROUP, GRANTS, PERMISSION, KIND},
    ),
    ("exclude", User.objects.exclude(groups__name="x"), {MEMBERS, GROUP}),
    (
        "or",
        User.objects.filter(Q(groups__name="x") | Q(user_permissions__name="y")),
        {MEMBERS, GROUP, RIGHTS, PERMISSION},
    ),
    ("exists", User.objects.filter(Exists(Group.objects.filter(user=OuterRef("pk")))), {MEMBERS, GROUP}),
    ("subquery", User.objects.annotate(n=Subquery(Group.objects.values("name")[:1])).filter(n="x"), {GROUP}),
    ("in", User.objects.filter(pk__in=Permission.objects.values("pk")), {PERMISSION}),
    (
        "aggregate",
        User.objects.annotate(n=Count("groups__permissions")).filter(n__gt=1),
        {MEMBERS, GROUP, GRANTS},
    ),
    ("extract", User.objects.annotate(m=TruncMonth("date_joined")).filter(date_joined__year=2020), set()),
    ("words as text", User.objects.filter(username='x\' FROM auth_group, "y" JOIN auth_permission'), set()),
]


@given(
    choices=st.lists(st.sampled_from(range(len(PARTS))), min_size=1, max_size=3),
    ordered=st.booleans(),
    distinct=st.booleans(),
    sliced=st.booleans(),
)
def _a_query_is_read(choices: list[int], ordered: bool, distinct: bool, sliced: bool) -> None:
    query, expected = User.objects.all(), {USER}
    for choice in choices:
        _, part, tables = PARTS[choice]
        query = query.filter(pk__in=part.values("pk"))
        expected |= tables
    query = query.order_by("username") if ordered else query
    query = query.distinct() if distinct else query
    query = query[:5] if sliced else query

    with CaptureQueriesContext(connection) as captured:
        list(query)

    statement = sql.read(captured[0]["sql"], connection.vendor)
    assert statement is not None
    assert (statement.verb, statement.written, set(statement.read)) == ("read", (), expected)


class TestDjangosStatements(TestCase):
    """Statements that the backend of this run really gets."""

    def test_any_query_is_read(self) -> None:
        _a_query_is_read()

    def test_each_kind_of_query_alone_is_read(self) -> None:
        for name, query, tables in PARTS:
            with self.subTest(name), CaptureQueriesContext(connection) as captured:
                list(query)
            statement = sql.read(captured[0]["sql"], connection.vendor)

            self.assertIsNotNone(statement)
            assert statement is not None
            self.assertEqual({USER} | tables, set(statement.read))

    def test_unions_and_aggregates_are_read(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            list(Group.objects.values("name").union(Permission.objects.order_by().values("name")))
            User.objects.filter(groups__name="x").aggregate(Sum("pk"))
            User.objects.distinct().filter(groups__isnull=False).count()
            User.objects.filter(pk=1).exists()

        found = [
            set(statement.read)
            for each in captured
            if (statement := sql.read(each["sql"], connection.vendor))
        ]
        self.assertEqual([{GROUP, PERMISSION}, {USER, MEMBERS, GROUP}, {USER, MEMBERS}, {USER}], found)

    def test_writes_are_read_with_their_columns(self) -> None:
        user = User.objects.create(username="x")
        group = Group.objects.create(name="from auth_permission")
        kind = ContentType.objects.create(app_label="a", model="b")

        with CaptureQueriesContext(connection) as captured:
            Group.objects.create(name="update x set y = (1)")
            User.objects.filter(pk=user.pk).update(email="a", is_staff=F("is_active"))
            User.objects.filter(groups=group).update(first_name=Coalesce(F("last_name"), F("email")))
            User.objects.update(first_name=Subquery(Group.objects.values("name")[:1]))
            user.groups.add(group)
            user.groups.clear()
            kind.delete()

        found = [
            (s.verb, s.written, s.columns)
            for each in captured
            if (s := sql.read(each["sql"], connection.vendor)) and s.verb != "read"
        ]
        self.assertEqual(("insert", (GROUP,), ("name",)), found[0])
        self.assertEqual(("update", (USER,), ("email", "is_staff")), found[1])
        self.assertEqual(("update", (USER,), ("first_name",)), found[2])
        self.assertEqual(("update", (USER,), ("first_name",)), found[3])
        self.assertIn(("insert", (MEMBERS,), ("group_id", "user_id")), found)
        self.assertIn(("delete", (MEMBERS,), None), found)
        self.assertIn(("delete", (KIND,), None), found)

    def test_an_update_reads_the_tables_of_its_condition(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            User.objects.filter(groups__name="x").update(email="a")

        statement = sql.read(captured[-1]["sql"], connection.vendor)
        assert statement is not None
        self.assertEqual(((USER,), {MEMBERS, GROUP}), (statement.written, set(statement.read)))


WRITTEN = {
    'SELECT `a`.`id`, `a`.`n` FROM `a` INNER JOIN `b` ON (`a`.`id` = `b`.`a_id`)': Statement("read", (), ("a", "b"), ("id", "n")),
    'DELETE `a` FROM `a` INNER JOIN `b` ON (`a`.`id` = `b`.`a_id`)': Statement("delete", ("a",), ("b",), None),
    "UPDATE `a`, `b` SET `a`.`x` = 1 WHERE `a`.`id` = `b`.`id`": Statement("update", ("a",), ("b",), ("x",)),
    'INSERT INTO "a" ("x") SELECT "y" FROM "b" ON CONFLICT ("x") DO UPDATE SET "x" = 1': Statement("insert", ("a",), ("b",), ("x",)),
    "INSERT IGNORE INTO a (x, y) VALUES (%s, %s)": Statement("insert", ("a",), (), ("x", "y")),
    "INSERT OR REPLACE INTO a VALUES (1)": Statement("insert", ("a",), (), None),
    "REPLACE INTO a (x) VALUES (1)": Statement("insert", ("a",), (), ("x",)),
    "SELECT REPLACE(x, 'a', 'b') FROM a": Statement("read", (), ("a",), None),
    "UPDATE ONLY public.a SET x = 1 FROM b, c AS d WHERE a.id = b.id": Statement("update", ("a",), ("b", "c"), ("x",)),
    'SELECT "a"."x" FROM "a" WHERE "a"."id" = %s FOR UPDATE': Statement("read", (), ("a",), ("x",)),
    'SELECT "a"."x" FROM "a" FOR NO KEY UPDATE OF "a" SKIP LOCKED': Statement("read", (), ("a",), ("x",)),
    "WITH RECURSIVE t AS (SELECT id FROM a UNION ALL SELECT a.id FROM a JOIN t ON 1=1) SELECT * FROM t, b": Statement("read", (), ("a", "b"), None),
    "WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone": Statement("delete", ("a",), (), None),
    "TRUNCATE TABLE a, b CASCADE": Statement("delete", ("a", "b"), (), None),
    "/* note */ SELECT EXTRACT(EPOCH FROM x) FROM a -- FROM c": Statement("read", (), ("a",), None),
    "SELECT * FROM generate_series(1, 2) AS s": None,
    "SELECT count(*) FROM (SELECT 1 FROM a) sub": Statement("read", (), ("a",), None),
    "(SELECT x FROM a) UNION (SELECT x FROM b)": Statement("read", (), ("a", "b"), ("x",)),
    "SELECT a.x IS DISTINCT FROM b.y FROM a, b": Statement("read", (), ("a", "b"), None),
    "EXPLAIN SELECT * FROM a": Statement("read", (), ("a",), None),
    "SAVEPOINT x": None,
    "SELECT 1": None,
    "": None,
}  # fmt: skip


@pytest.mark.parametrize("text", sorted(WRITTEN))
def test_a_statement_that_a_person_or_another_backend_writes_is_read(text: str) -> None:
    found = sql.read(text, "")

    expected = WRITTEN[text]
    assert (found and (found.verb, found.written, found.read)) == (
        expected and (expected.verb, expected.written, expected.read)
    )
    if found and expected and expected.columns:
        assert found.columns in (expected.columns, None)


@given(st.text(alphabet=st.sampled_from("SELECTFROMUPDATINWHW ()\"'`,.;*=%s$-/[]{}abc\n\0é")) | st.text())
def test_no_text_makes_the_reader_raise(text: str) -> None:
    sql.read(text, "")

    sql.read(f"SELECT {text}", "")
    sql.read(f"UPDATE a SET {text}", "")
