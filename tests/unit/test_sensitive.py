"""What an event calls sensitive is sent and kept as it is, and masked wherever people read it."""

import json
import logging
import traceback
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError, model_validator
from typing_extensions import TypedDict

from microworkflows import DomainEvent, IncomingEvent, Sensitive, masking, microworkflow, schemas, sensitive
from microworkflows.errors import InvalidPayloadError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.sensitive import MASK
from microworkflows.testing import Flow, delivered

TOKEN, STREET = "tok_4242424242", "12 Hidden Lane"


class Card(BaseModel):
    """A part of an event."""

    holder: str
    number: SecretStr


class Place(BaseModel):
    street: str
    city: str


@dataclass
class Plain:
    shown: str
    hidden: Sensitive[str]


class Typed(TypedDict):
    shown: str
    hidden: SecretStr


class Node(BaseModel):
    name: str
    pin: Sensitive[int]
    children: list["Node"] = []


@pytest.fixture
def paid(empty_registry: None) -> SimpleNamespace:
    """``tills`` announces a payment with a token and an address; ``books`` reads it, and does as it is told."""

    class Paid(DomainEvent, type="tills.paid.v1"):
        paid_id: UUID
        token: Sensitive[str]
        place: Sensitive[Place]
        card: Card | None = None

    class PaidInBooks(IncomingEvent, type="tills.paid.v1"):
        paid_id: UUID
        token: Sensitive[str]
        place: Place

    made = SimpleNamespace(Paid=Paid, PaidInBooks=PaidInBooks, act=lambda event: None)

    @microworkflow(on=PaidInBooks, context="books")
    def book(event: PaidInBooks) -> None:
        made.act(event)

    return made


def a_payment(paid: SimpleNamespace) -> Any:
    card = Card(holder="Ada", number=SecretStr("4000-1234"))
    return paid.Paid(paid_id=uuid4(), token=TOKEN, place=Place(street=STREET, city="Nowhere"), card=card)


# On the wire


def test_secrets_travel_with_their_values() -> None:
    class Kept(BaseModel):
        text: SecretStr
        raw: SecretBytes
        number: Secret[int]
        cards: list[Card]
        by_name: dict[str, tuple[SecretStr, Decimal]]

    card = {"holder": "Ada", "number": "4000"}
    kept = Kept.model_validate(
        {"text": "a", "raw": b"b", "number": 3, "cards": [card], "by_name": {"x": ("c", "1.10")}}
    )

    assert sensitive.payload(kept) == {
        "text": "a",
        "raw": "b",
        "number": 3,
        "cards": [card],
        "by_name": {"x": ["c", "1.10"]},
    }
    assert Kept.model_validate(sensitive.payload(kept)) == kept


@pytest.mark.django_db
def test_recorded_event_holds_what_its_reader_needs(paid: SimpleNamespace, flow: Flow) -> None:
    seen: list[Any] = []
    paid.act = seen.append

    flow.record(a_payment(paid))
    flow.run()

    (row,) = OutboxEvent.objects.all()
    assert row.body["data"]["token"] == TOKEN
    assert row.body["data"]["card"]["number"] == "4000-1234"
    assert (seen[0].token, seen[0].place.street) == (TOKEN, STREET)


def test_text_may_be_read_as_a_secret_and_a_secret_as_text(empty_registry: None) -> None:
    class Said(DomainEvent, type="tills.said.v1"):
        text: str
        secret: SecretStr

    class Heard(IncomingEvent, type="tills.said.v1"):
        text: SecretStr
        secret: str

    assert schemas.misfits(reading=Heard, announced=Said) == []


# For people


def test_parts_are_found_in_every_kind_of_type() -> None:
    class Everything(BaseModel):
        one: Sensitive[str]
        maybe: Sensitive[str] | None
        many: list[Sensitive[str]]
        named: dict[str, Sensitive[str]]
        secret: SecretStr | None
        cards: tuple[Card, ...]
        plain: Plain
        typed: Typed
        tree: Node
        shown: list[dict[str, int]]

    parts = sensitive.tree(Everything)
    data = {
        "one": "x",
        "maybe": None,
        "many": ["x", "y"],
        "named": {"a": "x"},
        "secret": "x",
        "cards": [{"holder": "Ada", "number": "x"}],
        "plain": {"shown": "s", "hidden": "x"},
        "typed": {"shown": "s", "hidden": "x"},
        "tree": {"name": "n", "pin": 1234, "children": [{"name": "c", "pin": 5678, "children": []}]},
        "shown": [{"a": 1}],
    }

    assert sensitive.masked(data, parts) == {
        "one": MASK,
        "maybe": None,
        "many": [MASK, MASK],
        "named": {"a": MASK},
        "secret": MASK,
        "cards": [{"holder": "Ada", "number": MASK}],
        "plain": {"shown": "s", "hidden": MASK},
        "typed": {"shown": "s", "hidden": MASK},
        "tree": {"name": "n", "pin": MASK, "children": [MASK]},
        "shown": [{"a": 1}],
    }
    assert {"x", "y", "1234", "5678"} <= set(sensitive.values(data, parts))


def test_value_of_another_form_than_declared_is_masked_as_a_whole() -> None:
    class Order(BaseModel):
        cards: list[Card]

    assert sensitive.masked({"cards": "4000-1234"}, sensitive.tree(Order)) == {"cards": MASK}


def test_announcement_and_readings_mask_together(paid: SimpleNamespace) -> None:
    data = sensitive.payload(a_payment(paid))

    masked = masking.data("tills.paid.v1", data)

    assert masked["place"] == MASK, "as announced"
    assert masked["card"] == {"holder": "Ada", "number": MASK}
    assert masked["paid_id"] == data["paid_id"]


def test_what_no_reading_names_is_masked_where_the_announcer_is_not_installed(empty_registry: None) -> None:
    class Paid(IncomingEvent, type="elsewhere.paid.v1"):
        paid_id: int
        place: Place

    data = {"paid_id": 7, "place": {"street": "s", "city": "c", "door": "d"}, "unknown": [TOKEN]}

    assert masking.data(Paid.event_type, data) == {
        "paid_id": 7,
        "place": {"street": "s", "city": "c", "door": MASK},
        "unknown": MASK,
    }
    assert masking.data("elsewhere.never_heard.v1", data) == data


def test_repr_of_an_event_shows_no_sensitive_field(paid: SimpleNamespace) -> None:
    shown = repr(a_payment(paid))

    assert f"token={MASK}" in shown
    assert TOKEN not in shown
    assert STREET not in shown


@pytest.mark.django_db
def test_errors_tracebacks_and_logs_of_a_failure_hold_no_sensitive_value(
    paid: SimpleNamespace, flow: Flow, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(event: Any) -> None:
        try:
            Card.model_validate({"holder": 3, "number": event.token})
        except ValidationError as error:
            raise RuntimeError(
                f"the bank refused {event.token} of {event!r}\nat {event.place.street!r}"
            ) from error

    paid.act = act
    flow.record(a_payment(paid))
    flow.run(keep_failures=True)

    (row,) = InboxEvent.objects.all()
    call_command("parked", waiting=True)
    for text in (row.error, row.traceback, caplog.text, capsys.readouterr().out):
        assert text
        assert f"the bank refused {MASK} of" in text
        for hidden in (TOKEN, STREET, "4000-1234", "input_value=3"):
            assert hidden not in text
    assert row.traceback is not None
    assert "in act" in row.traceback, "the rest of it is there"
    (line,) = [record for record in caplog.records if record.getMessage().startswith("retry ")]
    assert "\n" not in line.getMessage()
    assert line.exc_info
    shown = "".join(traceback.format_exception(line.exc_info[1]))
    assert shown.rstrip("\n") == line.exc_text, "to an error tracker, too"
    assert (line.exc_info[0] or object).__name__ == "RuntimeError"


def test_refused_payload_names_no_value(paid: SimpleNamespace) -> None:
    event = delivered(a_payment(paid))

    class Strict(IncomingEvent, type="tills.paid.v1"):
        token: int

        @model_validator(mode="before")
        @classmethod
        def look(cls, data: Any) -> Any:
            return data

    from microworkflows.cloudevents import CloudEvent

    wire = CloudEvent(meta=event.meta, data=sensitive.payload(event))
    with pytest.raises(InvalidPayloadError) as raised:
        Strict.from_cloud_event(wire)

    assert "token: Input should be a valid integer" in str(raised.value)
    assert TOKEN not in f"{raised.value} {raised.value.__cause__}"
    with pytest.raises(ValidationError) as made:
        paid.Paid(paid_id="no uuid of mine", token=TOKEN, place={"street": 4711})
    assert "no uuid of mine" not in str(made.value)
    assert "4711" not in str(made.value)


def test_values_are_found_in_any_quotes_and_short_ones_left() -> None:
    class Said(BaseModel):
        text: Sensitive[str]
        country: Sensitive[str]

    data = {"text": 'Zoë\'s "Inn"\n1', "country": "DE"}
    parts = sensitive.tree(Said)
    event = SimpleNamespace(data=data, meta=SimpleNamespace(type="tills.said.v1"))
    text = f"{data['text']} | {data['text']!r} | {json.dumps(data['text'])} | DE code DECODE"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_parts", lambda event_type: parts)
        scrubbed = masking.scrub(event)(text)  # type: ignore[arg-type]  # as much of an event as it reads

    assert "Zo" not in scrubbed
    assert scrubbed.count(MASK) == 3
    assert "DE code DECODE" in scrubbed


def test_text_is_left_out_where_too_many_values_would_have_to_be_looked_for(paid: SimpleNamespace) -> None:
    data = {"token": [f"value-{number}" for number in range(5_000)]}
    event = SimpleNamespace(data=data, meta=SimpleNamespace(type="tills.paid.v1"))

    assert masking.scrub(event)("value-77").startswith("(the text is left out")  # type: ignore[arg-type]  # as above


def test_line_break_in_an_exceptions_text_forges_no_line_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    from microworkflows import logs

    error = ValueError("evil\n2026-01-01 INFO forged \x1b[2J")

    logs.logger("microworkflows.test").error("it failed", exc_info=error)

    assert "\x1b" not in caplog.text
    (line,) = caplog.records
    assert line.exc_info is not None
    assert line.exc_info[1] is error
    assert logging.Formatter().format(line).startswith("it failed\n")


@pytest.mark.django_db
def test_payloads_in_the_admin_are_masked(paid: SimpleNamespace, flow: Flow, client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    meta = flow.record(a_payment(paid), correlation_id="a-flow")
    flow.run()
    (received,) = InboxEvent.objects.all()
    InboxEvent.objects.update(body=OutboxEvent.objects.get(pk=meta.id).body)  # as an earlier version kept it

    pages = [
        client.get(reverse("admin:microworkflows_outboxevent_change", args=[meta.id])),
        client.get(reverse("admin:microworkflows_inboxevent_change", args=[received.pk])),
        client.get(reverse("admin:microworkflows_journey", args=["a-flow"])),
    ]

    for page in pages:
        html = page.content.decode()
        assert MASK in html
        assert str(received.event_id) in html
        for hidden in (TOKEN, STREET, "4000-1234"):
            assert hidden not in html
