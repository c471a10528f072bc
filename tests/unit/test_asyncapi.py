"""The AsyncAPI document: complete, without dangling references, and accepted by AsyncAPI's own parser."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from django.core.management import CommandError, call_command
from pydantic import BaseModel, Field

from microworkflows import DomainEvent, IncomingEvent, asyncapi, registry
from tests import npm
from tests.architecture.files import ROOT


class Card(BaseModel):
    kind: Literal["card"]
    pair: tuple[int, str]


class Voucher(BaseModel):
    kind: Literal["voucher"]
    inner: "Voucher | None" = None


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from _references(each)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)


def _resolve(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


@pytest.fixture
def document(post: SimpleNamespace) -> dict[str, Any]:
    class LetterWrittenV2(DomainEvent, type="letters.letter_written.v2"):
        """With its means of payment."""

        means: Annotated[Card | Voucher, Field(discriminator="kind")]

    class Elsewhere(IncomingEvent, type="stamps.stamp_sold.v1"):
        stamp_id: UUID

    return asyncapi.document(title="Post", version="2.0.0")


def test_each_event_has_channel_message_and_operations(document: dict[str, Any]) -> None:
    types = {
        "letters.letter_written.v1",
        "letters.letter_written.v2",
        "desk.letter_stamped.v1",
        "stamps.stamp_sold.v1",
    }

    assert document["channels"].keys() == document["components"]["messages"].keys() == types
    assert {name: each["action"] for name, each in document["operations"].items()} == {
        "letters.send.letters.letter_written.v1": "send",
        "letters.send.letters.letter_written.v2": "send",
        "desk.send.desk.letter_stamped.v1": "send",
        "desk.receive.letters.letter_written.v1": "receive",
        "archive.receive.desk.letter_stamped.v1": "receive",
    }
    received = document["operations"]["desk.receive.letters.letter_written.v1"]
    assert (received["x-queue"], received["x-microworkflows"]) == ("desk", ["desk.stamp_letter"])
    amqp = document["channels"]["letters.letter_written.v1"]["bindings"]["amqp"]
    assert amqp["exchange"] == {
        "name": "microworkflows",
        "type": "topic",
        "durable": True,
        "autoDelete": False,
    }
    messages = document["components"]["messages"]
    assert messages["letters.letter_written.v1"]["x-followed-by"] == "letters.letter_written.v2"
    assert "x-followed-by" not in messages["letters.letter_written.v2"]
    assert "announcement is not known here" in messages["stamps.stamp_sold.v1"]["summary"]


def test_references_lead_somewhere_and_payloads_are_valid_schemas(document: dict[str, Any]) -> None:
    references = list(_references(document))

    assert references
    for reference in references:
        assert _resolve(document, reference)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


def test_recorded_event_satisfies_its_message(document: dict[str, Any], db: None) -> None:
    from uuid import uuid4

    from django.db import transaction

    from microworkflows import outbox
    from microworkflows.models import OutboxEvent

    with transaction.atomic():
        event = registry.announced()["letters.letter_written.v2"]
        outbox.record(event(means=Card(kind="card", pair=(1, "a"))))  # type: ignore[call-arg]
    body = OutboxEvent.objects.get().body

    payload = {
        **document["components"]["messages"]["letters.letter_written.v2"]["payload"],
        "components": document["components"],
    }
    validator = jsonschema.Draft7Validator(payload)
    assert list(validator.iter_errors(body)) == []
    assert list(validator.iter_errors({**body, "data": {"means": {"kind": "cash"}}}))
    assert list(validator.iter_errors({**body, "id": uuid4().int}))


def test_sensitive_fields_of_the_shop_are_marked() -> None:
    schemas = asyncapi.document(title="Shop", version="1.0.0")["components"]["schemas"]

    fields = schemas["orders.order_accepted.v1"]["properties"]
    assert [name for name, field in fields.items() if field.get("x-sensitive")] == [
        "payment_token",
        "ship_to",
    ]


def test_command_prints_writes_and_checks(post: SimpleNamespace, tmp_path: Path) -> None:
    out, file = StringIO(), tmp_path / "asyncapi.json"
    call_command("asyncapi", stdout=out)
    call_command("asyncapi", "--output", str(file), stdout=StringIO())
    call_command("asyncapi", "--check", str(file), stdout=StringIO())

    assert file.read_text() == out.getvalue()
    with pytest.raises(CommandError, match="is stale"):
        call_command("asyncapi", "--title", "Other", "--check", str(file))


def test_document_of_the_shop_is_fresh() -> None:
    call_command(
        "asyncapi",
        "--title",
        "The shop's events",
        "--check",
        str(ROOT / "docs/reference/asyncapi.json"),
        stdout=StringIO(),
    )


@pytest.mark.slow
def test_parser_of_asyncapi_accepts_the_documents(document: dict[str, Any], tmp_path: Path) -> None:
    """Its own parser, from npm, finds no error and no warning."""
    parser = npm.installed("asyncapi")
    made = tmp_path / "post.json"
    made.write_text(json.dumps(document))

    for file in (made, ROOT / "docs/reference/asyncapi.json"):
        said = json.loads(npm.run("node", "parse.mjs", str(file), folder=parser))
        assert said["version"] == "3.0.0"
        assert [each for each in said["diagnostics"] if each["severity"] < 2] == []
