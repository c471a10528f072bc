"""Expressions in the SQL of both databases, each the same as an index holds."""

from typing import Any

from django.db import models
from django.db.models.expressions import Func
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce

from microworkflows.cloudevents import FACT
from microworkflows.models.columns import Header


class ContextOf(Func):
    """SQL for the context of an event type (the part before its first dot); an index holds the same expression."""

    output_field = models.CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="split_part(%(expressions)s, '.', 1)", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"substr({sql}, 1, instr({sql}, '.') - 1)", [*params, *params]


class CorrelationOf(Func):
    """SQL for the flow that a stored CloudEvent belongs to; an index holds the same expression."""

    output_field = models.CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="(%(expressions)s ->> 'correlationid')", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(
            compiler, connection, template="json_extract(%(expressions)s, '$.correlationid')", **extra
        )


class FactOf(Coalesce):
    """SQL for the id by which inboxes know a stored CloudEvent: its own, or, of a fact in several versions, the oldest one's."""

    def __init__(self) -> None:
        super().__init__(
            KeyTextTransform(FACT, "body"), KeyTextTransform("id", "body"), output_field=models.TextField()
        )


class FingerprintOf(Func):
    """SQL for the fingerprint of the last failure of a message, of its ``headers``; an index holds the same expression."""

    output_field = models.CharField()

    def __init__(self) -> None:
        super().__init__("headers")

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"(%(expressions)s ->> '{Header.FINGERPRINT}')"
        return super().as_sql(compiler, connection, template=template, **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"json_extract(%(expressions)s, '$.{Header.FINGERPRINT}')"
        return super().as_sql(compiler, connection, template=template, **extra)


class SubjectPart(Func):
    """SQL for a part, ``key`` or ``name``, of what the flow is about that begins with a row; an index holds the same expression."""

    output_field = models.CharField()

    def __init__(self, part: str) -> None:
        super().__init__("headers")
        self.part = part

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"(%(expressions)s #>> '{{{Header.SUBJECT},{self.part}}}')"
        return super().as_sql(compiler, connection, template=template, **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"json_extract(%(expressions)s, '$.{Header.SUBJECT}.{self.part}')"
        return super().as_sql(compiler, connection, template=template, **extra)


class EventOf(Func):
    """SQL for the id of the event in the key of a message, to be compared with the keys of the outbox."""

    output_field = models.UUIDField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="right(%(expressions)s, 36)::uuid", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "replace(substr(%(expressions)s, -36), '-', '')"
        return super().as_sql(compiler, connection, template=template, **extra)
