from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from microworkflows import DomainEvent, IncomingEvent, registry
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import EventNotDeliveredError, InvalidPayloadError
from microworkflows.testing import delivered


def test_domain_event_is_frozen_and_refuses_fields_it_does_not_declare(post: SimpleNamespace) -> None:
    event = post.LetterWritten(letter_id=uuid4())

    with pytest.raises(ValidationError, match="frozen"):
        event.letter_id = uuid4()
    with pytest.raises(ValidationError, match="Extra inputs"):
        post.LetterWritten(letter_id=uuid4(), colour="red")


def test_payload_keeps_decimals_and_uuids_exact(post: SimpleNamespace) -> None:
    event = post.LetterWritten(letter_id=UUID(int=7), postage=Decimal("0.10"))

    payload = event.model_dump(mode="json")

    assert payload == {"letter_id": "00000000-0000-0000-0000-000000000007", "postage": "0.10"}


def test_reading_ignores_fields_that_it_does_not_use(post: SimpleNamespace) -> None:
    event = delivered(post.LetterWritten(letter_id=UUID(int=7)))
    cloud_event = CloudEvent(meta=event.meta, data=event.model_dump(mode="json"))

    reading = post.WrittenAtDesk.from_cloud_event(cloud_event)

    assert reading.model_dump() == {"letter_id": UUID(int=7)}
    assert reading.meta == event.meta


def test_payload_that_does_not_satisfy_the_reading_names_event_class_and_field(post: SimpleNamespace) -> None:
    meta = delivered(post.LetterWritten(letter_id=uuid4())).meta

    with pytest.raises(
        InvalidPayloadError, match=rf"{meta.id} does not satisfy .*WrittenAtDesk: letter_id: Input"
    ):
        post.WrittenAtDesk.from_cloud_event(CloudEvent(meta=meta, data={"letter_id": "seven"}))


def test_event_made_by_hand_has_no_envelope(post: SimpleNamespace) -> None:
    with pytest.raises(EventNotDeliveredError, match=r"microworkflows.testing.delivered"):
        _ = post.LetterWritten(letter_id=uuid4()).meta


def test_events_are_equal_when_they_say_the_same(post: SimpleNamespace) -> None:
    event = post.LetterWritten(letter_id=UUID(int=1))

    assert delivered(event) == event
    assert hash(delivered(event)) == hash(event)
    assert post.LetterWritten(letter_id=UUID(int=2)) != event


@pytest.mark.parametrize(
    "name", ["orders.accepted", "Orders.accepted.v1", "orders.accepted.v0", "accepted.v1", "a b.c.v1"]
)
def test_type_must_have_context_fact_and_version(empty_registry: None, name: str) -> None:
    with pytest.raises(TypeError, match=r"context.past_tense_fact.vN"):

        class Accepted(DomainEvent, type=name):
            pass


def test_field_called_meta_is_refused(empty_registry: None) -> None:
    with pytest.raises(TypeError, match="'meta', which is taken"):

        class Accepted(DomainEvent, type="orders.accepted.v1"):
            meta: int  # type: ignore[assignment]  # the mistake that this test is about


def test_class_without_a_type_is_a_base_and_is_not_registered(empty_registry: None) -> None:
    class WithOrder(IncomingEvent):
        order_id: UUID

    class Accepted(WithOrder, type="orders.accepted.v1"):
        pass

    assert registry.readings() == [Accepted]
    assert registry.announcements() == []
