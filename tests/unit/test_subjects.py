"""What a flow is about: recorded as its first event is, carried by each further one, and found by name and key."""

import copy
import pickle
import re
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.db.models import QuerySet
from pydantic import SecretStr

from microworkflows import DomainEvent, PermanentError, Sensitive, Subject, journeys, outbox, subjects
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import InvalidCloudEventError, InvalidSubjectError, UnrecordableEventError
from microworkflows.models import Header, InboxEvent, OutboxEvent
from microworkflows.testing import Flow, delivered

pytestmark = pytest.mark.django_db

LETTER = Subject(kind="letter", key=1, name="L-000001")


class NamedUser(User):
    """A model that says how flows about it are called."""

    class Meta:
        proxy = True
        app_label = "auth"

    def flow_subject(self) -> Subject:
        return Subject(kind="customer", key=self.pk, name=f"C-{self.pk:06d}")


class RenamedGroup(Group):
    """A proxy, whose flows are those of its model."""

    class Meta:
        proxy = True
        app_label = "auth"


def record(event: DomainEvent, **arguments: Any) -> CloudEvent:
    with transaction.atomic():
        meta = outbox.record(event, **arguments)
    return CloudEvent.from_dict(OutboxEvent.objects.get(pk=meta.id).body)


# What a subject may be.


def test_key_of_any_kind_is_taken_as_text() -> None:
    assert Subject(kind="letter", key=42) == Subject(kind="letter", key="42")
    assert Subject(kind="letter", key=UUID(int=7)).key == str(UUID(int=7))


def test_subject_survives_copying_and_pickling() -> None:
    assert copy.deepcopy(LETTER) == pickle.loads(pickle.dumps(LETTER)) == LETTER


@pytest.mark.parametrize(
    "kind", ["", "Order", "order:1", "an order", ".order", "größe", "o\x00", "x" * 101, 7]
)
def test_kind_beyond_its_letters_or_length_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidSubjectError, match=r"^kind is "):
        Subject(kind=kind, key=1)


@pytest.mark.parametrize(
    "key", ["", None, (1, None), " 1", "1\n", "a\x00b", "\x1b[31m", "\ud800", "x" * 151, Group()]
)
def test_key_that_is_none_or_breaks_the_bounds_is_refused(key: object) -> None:
    with pytest.raises(InvalidSubjectError, match=r"^key (is|has|holds) "):
        Subject(kind="letter", key=key)


@pytest.mark.parametrize("name", ["a\x00b", "\x1b[31m", "\ud800", "\ufdd0", None, 7, SecretStr("L-000001")])
def test_name_that_is_no_text_or_holds_control_codes_is_refused(name: Any) -> None:
    with pytest.raises(InvalidSubjectError, match=r"^name (is|holds) ") as raised:
        Subject(kind="letter", key=1, name=name)

    assert "L-000001" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("  A\tlong\n way  home ", "A long way home"),
        ("x" * 100, "x" * 100),
        ("x" * 10_000, f"{'x' * 99}…"),
        ("<b>Müller & Söhne</b> 信", "<b>Müller & Söhne</b> 信"),
    ],
)
def test_name_is_made_fit_for_people_in_place_of_failing_a_flow(given: str, name: str) -> None:
    assert Subject(kind="letter", key=1, name=given).name == name


def test_model_instance_is_its_model_and_key_and_its_text_is_no_name() -> None:
    group = Group.objects.create(name="Jane Doe")

    assert subjects.of(group) == Subject(kind="auth.group", key=group.pk)
    assert subjects.of(RenamedGroup.objects.get()) == subjects.of(group)


def test_model_says_itself_how_flows_about_it_are_called() -> None:
    user = NamedUser.objects.create(username="jane")

    assert subjects.of(user) == Subject(kind="customer", key=user.pk, name=f"C-{user.pk:06d}")


# Recording.


@pytest.mark.parametrize(
    ("about", "why"),
    [
        (Group(name="unsaved"), "key is None"),
        ("letter", "it is 'letter'. Pass a model instance"),
        (42, "it is 42. Pass a model instance"),
        (SimpleNamespace(flow_subject=lambda: "letter-1"), "must return a Subject"),
    ],
)
def test_what_no_flow_can_be_about_is_refused_where_it_is_recorded(
    post: SimpleNamespace, about: Any, why: str
) -> None:
    with pytest.raises(UnrecordableEventError, match=re.escape(why)) as raised:
        record(post.LetterWritten(letter_id=uuid4()), about=about)

    assert "letters.letter_written.v1 cannot be recorded, because no flow can be about this" in str(
        raised.value
    )
    assert not OutboxEvent.objects.exists()


def test_instance_in_place_of_a_correlation_id_is_referred_to_about(post: SimpleNamespace) -> None:
    with pytest.raises(UnrecordableEventError, match=r"correlation_id is .* Pass the object as about="):
        record(post.LetterWritten(letter_id=uuid4()), correlation_id=Group(pk=1))


def test_flows_about_two_kinds_of_objects_with_the_same_key_are_two(post: SimpleNamespace) -> None:
    group, user = Group.objects.create(pk=1, name="one"), User.objects.create(pk=1, username="one")
    event = post.LetterWritten(letter_id=uuid4())

    about_group, about_user, again = (record(event, about=each).meta for each in (group, user, group))

    assert about_group.correlation_id == again.correlation_id == "auth.group:1"
    assert about_user.correlation_id == "auth.user:1"
    assert len(journeys.journey("auth.group:1").steps) == 2


def test_given_correlation_id_stays_what_it_is(post: SimpleNamespace) -> None:
    meta = record(post.LetterWritten(letter_id=uuid4()), about=LETTER, correlation_id=7).meta

    assert (meta.correlation_id, meta.subject) == ("7", LETTER)


def test_without_a_subject_an_event_is_written_as_before(post: SimpleNamespace) -> None:
    event = record(post.LetterWritten(letter_id=uuid4()), correlation_id=42)

    assert event.meta.subject is None
    assert not [name for name in event.to_dict() if name in {"microworkflowskind", "microworkflowskey"}]
    assert Header.SUBJECT not in OutboxEvent.objects.get().headers


def test_value_that_the_event_calls_sensitive_is_refused_as_name_or_key(empty_registry: None) -> None:
    class Joined(DomainEvent, type="club.joined.v1"):
        email: Sensitive[str]
        number: Sensitive[str] = "000017"
        country: Sensitive[str] = "DE"

    joined = Joined(email="jane@example.org")

    for subject in (
        Subject(kind="member", key=1, name="jane@example.org"),
        Subject(kind="member", key="jane@example.org"),
    ):
        with pytest.raises(UnrecordableEventError, match="declares as Sensitive") as raised:
            record(joined, about=subject)
        assert "jane@" not in str(raised.value)
    # What may coincide by chance proves nothing, and must not fail a flow.
    assert record(joined, about=Subject(kind="member", key="000017", name="DE")).meta.subject


# Along the flow.


def test_every_event_of_a_flow_carries_its_subject(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), about=LETTER)
    flow.run()

    written, stamped = OutboxEvent.objects.order_by("pk")
    assert written.subject == stamped.subject == LETTER
    assert {row.subject for row in InboxEvent.objects.all()} == {LETTER}
    assert stamped.correlation_id == "letter:1"
    # The first row alone is in the indexes, each entry of which costs.
    assert written.headers[Header.SUBJECT] == {"kind": "letter", "key": "1", "name": "L-000001"}
    assert Header.SUBJECT not in stamped.headers
    assert journeys.journey("letter:1").subject == LETTER


@pytest.mark.parametrize("error", [ValueError("later"), PermanentError("never")])
def test_subject_outlives_a_retry_and_a_replay(post: SimpleNamespace, flow: Flow, error: Exception) -> None:
    post.fail = error
    flow.record(post.LetterWritten(letter_id=uuid4()), about=LETTER)
    flow.run(keep_failures=True)
    post.fail = None

    InboxEvent.objects.all().replay(by="clerk")
    flow.retry()
    flow.run()

    assert [row.subject for row in OutboxEvent.objects.filter(destination="desk.letter_stamped.v1")] == [
        LETTER
    ]


def test_what_a_running_microworkflow_says_it_is_about_does_not_change_the_flow(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def record_by_hand(event: Any) -> None:
        seen.append(outbox.record(post.LetterStamped(letter_id=event.letter_id), about=Group(pk=5)))

    monkeypatch.setattr(post.stamp_letter, "function", record_by_hand)
    flow.record(post.LetterWritten(letter_id=uuid4()), about=LETTER)
    flow.run()

    assert [meta.subject for meta in seen] == [LETTER]


def test_delivered_event_says_what_its_flow_is_about(post: SimpleNamespace) -> None:
    event = delivered(post.LetterWritten(letter_id=uuid4()), about=LETTER)

    assert (event.meta.subject, event.meta.correlation_id) == (LETTER, "letter:1")


# On the wire.

BODY = {
    "specversion": "1.0",
    "id": str(uuid4()),
    "source": "/letters",
    "type": "letters.letter_written.v1",
    "data": {},
}


def test_subject_is_read_as_it_was_written_and_the_standard_s_own_is_left_alone() -> None:
    wire = {**BODY, "microworkflowskind": "letter", "microworkflowskey": "1", "subject": "page 2"}

    event = CloudEvent.from_outside(wire)

    assert event.meta.subject == Subject(kind="letter", key="1")
    assert event.extensions == {"subject": "page 2"}
    assert event.to_dict().items() >= wire.items()
    assert "microworkflowsname" not in event.to_dict()


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"kind": "letter"}, "kind and key come together"),
        ({"name": "L-000001"}, "kind and key come together"),
        ({"key": "1"}, "kind and key come together"),
        ({"kind": "letter", "key": 1}, "They are texts"),
        ({"kind": "letter", "key": "1", "name": ""}, "They are texts"),
        ({"kind": "letter", "key": "1", "name": True}, "They are texts"),
        ({"kind": "Letter 1", "key": "1"}, "kind is 'Letter 1'"),
        ({"kind": "letter", "key": " "}, "key is ' '"),
        ({"kind": "letter", "key": "1" * 151}, "key has 151 characters"),
        ({"kind": "letter", "key": "1", "name": "x" * 101}, "name has 101 characters"),
        ({"kind": "letter", "key": "1", "name": "x" * 10_000}, "name has 10,000 characters"),
        ({"kind": "letter", "key": "1", "name": "a\x00b"}, r"name holds U\+0000"),
        ({"kind": "letter", "key": "1", "name": "\x1b]0;"}, r"name holds U\+001B"),
    ],
)
def test_subject_beyond_the_bounds_stays_outside(attributes: dict[str, Any], why: str) -> None:
    wire = {**BODY, **{f"microworkflows{name}": value for name, value in attributes.items()}}

    with pytest.raises(InvalidCloudEventError, match=why):
        CloudEvent.from_outside(wire)


def test_attributes_have_names_as_the_standard_has_them(post: SimpleNamespace) -> None:
    event = record(post.LetterWritten(letter_id=uuid4()), about=LETTER)

    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event.to_dict())  # CloudEvents 1.0, section 3


# Search.


def test_flow_is_found_by_name_in_any_case_and_by_key(post: SimpleNamespace, flow: Flow) -> None:
    for subject in (LETTER, Subject(kind="parcel", key=1, name="P-000001")):
        flow.record(post.LetterWritten(letter_id=uuid4()), about=subject)
    flow.run()

    assert journeys.flows_about("l-000001") == ["letter:1"]
    assert journeys.flows_about("1") == ["parcel:1", "letter:1"]
    assert journeys.flows_about("L-00000") == []


def test_flow_about_an_object_is_its_newest_and_never_that_of_another_kind(
    post: SimpleNamespace, flow: Flow
) -> None:
    group, user = Group.objects.create(pk=1, name="one"), User.objects.create(pk=1, username="one")
    event = post.LetterWritten(letter_id=uuid4())
    flow.record(event, about=group, correlation_id="first")
    flow.record(event, about=group, correlation_id="second")
    flow.record(event, about=user)

    assert journeys.flow_about(group) == "second"
    assert journeys.flow_about(user) == "auth.user:1"
    assert journeys.flow_about(Permission.objects.all()[0]) is None
    assert journeys.flow_about(Group()) is None


def _plan(rows: QuerySet[OutboxEvent]) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is small
        return rows.explain()


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (lambda: OutboxEvent.objects.beginning_with_name("L-000001"), "microworkflows_subject_name"),
        (lambda: OutboxEvent.objects.beginning_with_key("1"), "microworkflows_subject_key"),
    ],
    ids=["name", "key"],
)
def test_search_reads_an_index_that_holds_the_first_rows_of_flows_alone(rows: Any, index: str) -> None:
    assert index in _plan(rows())
