"""Personal data is erased on demand from what is done; what somebody still has to handle is kept and told."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pydantic import BaseModel

from microworkflows import (
    DomainEvent,
    IncomingEvent,
    Later,
    PermanentError,
    Personal,
    Sensitive,
    Subject,
    erasing,
    flows,
    heartbeats,
    masking,
    microworkflow,
    sensitive,
)
from microworkflows.dead_letters import Letter
from microworkflows.erasing import letters
from microworkflows.errors import BrokerUnavailableError
from microworkflows.models import Erasure, HistoryEntry, InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.testing import Flow

NAME, STREET, TOKEN = "Ada Lovelace", "12 Hidden Lane", "tok_4242424242"
ADA, BOB = Subject(kind="guests.guest", key="7"), Subject(kind="guests.guest", key="8")
TODAY = f"erased on {datetime.now(UTC):%Y-%m-%d}"


class Address(BaseModel):
    street: str


@pytest.fixture(autouse=True)
def at_the_broker(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What there is at the broker, by queue; set ``away`` to have it away."""
    broker = SimpleNamespace(away=False, letters={}, dropped=[])

    class Broker:
        def find(self, queue: str, wanted: Callable[[Letter], bool], *, most: int) -> Any:
            return SimpleNamespace(letters=[each for each in broker.letters.get(queue, []) if wanted(each)])

        def drop(self, queue: str, ids: list[str], done: list[Letter]) -> None:
            done += [each for each in broker.letters[queue] if each.id in ids]
            broker.dropped += ids

    @contextmanager
    def opened() -> Iterator[Broker]:
        if broker.away:
            raise BrokerUnavailableError("connection refused")
        yield Broker()

    monkeypatch.setattr(letters, "opened", opened)
    return broker


@pytest.fixture
def inn(empty_registry: None) -> SimpleNamespace:
    """``guests`` announces an arrival; ``desk`` reads its name, ``kitchen`` nothing of it."""

    class Arrived(DomainEvent, type="guests.arrived.v1"):
        room: int
        name: Personal[str]
        addresses: list[Personal[Address]] = []
        token: Sensitive[str] = TOKEN

    class Left(DomainEvent, type="guests.left.v1"):
        room: int

    class ArrivedAtDesk(IncomingEvent, type="guests.arrived.v1"):
        room: int
        name: Personal[str]

    class ArrivedInKitchen(IncomingEvent, type="guests.arrived.v1"):
        room: int

    made = SimpleNamespace(Arrived=Arrived, Left=Left, fail=None, seen=[])

    @microworkflow(on=ArrivedAtDesk, context="desk")
    def greet(event: ArrivedAtDesk) -> None:
        made.seen.append(event.name)
        if made.fail:
            raise made.fail

    @microworkflow(on=ArrivedInKitchen, context="kitchen")
    def cook(event: ArrivedInKitchen) -> None: ...

    return made


def arrive(inn: SimpleNamespace, flow: Flow, about: Subject = ADA, **further: Any) -> Any:
    event = inn.Arrived(room=7, name=NAME, addresses=[Address(street=STREET)])
    return flow.record(event, about=about, **further)


def erase(*subjects: Subject, **options: Any) -> str:
    out = StringIO()
    call_command(
        "erase",
        "--subject",
        *(str(each) for each in subjects or [ADA]),
        "--why",
        "she asked",
        stdout=out,
        by="dpo",
        **options,
    )
    return out.getvalue()


def stored() -> str:
    """Return everything that the tables hold of events."""
    rows = [(row.body, row.headers) for row in (*OutboxEvent.objects.all(), *InboxEvent.objects.all())]
    history = list(HistoryEntry.objects.values_list("error", "traceback"))
    return json.dumps([rows, history])


def test_personal_data_is_erased_from_what_is_done_and_all_else_stays(
    inn: SimpleNamespace, flow: Flow, client: Client, admin_user: Any
) -> None:
    inn.fail = ValueError(f"no room for {NAME}")
    meta = arrive(inn, flow)
    flow.run(keep_failures=True)
    inn.fail = None
    InboxEvent.objects.waiting().update(
        headers={**InboxEvent.objects.waiting()[0].headers, "error": f"ValueError: no room for {NAME}"}
    )
    HistoryEntry.objects.update(
        error=f"ValueError: no room for {NAME}", traceback=NAME
    )  # kept before it was declared
    flow.retry()
    arrive(inn, flow, BOB)
    flow.run()

    said = erase()

    assert "       1  erased  events" in said
    assert "erased  messages" not in said, "what was handled keeps no data"
    assert "       1  erased  errors in the history" in said
    assert "It cannot reach what waits in the broker's queues, logs, and backups." in said
    row = OutboxEvent.objects.get(pk=meta.id)
    assert row.body["data"] == {"room": 7, "name": TODAY, "addresses": [TODAY], "token": TOKEN}
    bobs = [
        json.dumps(each.body)
        for each in (*OutboxEvent.objects.all(), *InboxEvent.objects.all())
        if each.subject == BOB
    ]
    assert stored().count(NAME) == 1
    assert len(bobs) == 3
    (message,) = InboxEvent.objects.of_deliveries([("desk.greet", meta.id)])
    assert message.error == f"ValueError: {TODAY}"
    assert [(entry.get_kind_display(), entry.by, entry.why) for entry in message.history][-1] == (
        "erased",
        "dpo",
        "she asked",
    )
    assert [(str(each), each.by, each.why, each.erased, each.kept) for each in Erasure.objects.all()] == [
        (str(ADA), "dpo", "she asked", 2, 0)
    ]
    client.force_login(admin_user)
    html = client.get(reverse("admin:microworkflows_inboxevent_change", args=[message.pk])).content.decode()
    assert TODAY in html, "when it was erased is shown, though the field is masked"
    flow.deliver(meta)
    assert len(inn.seen) == 3, "a duplicate is known still"
    assert "erased now: 0, erased before: 1" in erase()


def test_data_that_an_earlier_version_kept_of_handled_messages_is_erased(
    inn: SimpleNamespace, flow: Flow
) -> None:
    meta = arrive(inn, flow)
    arrive(inn, flow)
    flow.run()
    of_earlier = [("desk.greet", meta.id), ("kitchen.cook", meta.id)]
    InboxEvent.objects.of_deliveries(of_earlier).update(body=OutboxEvent.objects.get(pk=meta.id).body)

    said = erase()

    assert "       2  erased  messages" in said
    assert NAME not in stored()
    assert InboxEvent.objects.count() == 4


def test_what_somebody_has_to_handle_is_kept_and_told(
    inn: SimpleNamespace, flow: Flow, at_the_broker: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    inn.fail = PermanentError("never")
    arrive(inn, flow)
    flow.run(keep_failures=True)
    inn.fail = ValueError("later")
    arrive(inn, flow)
    flow.run(keep_failures=True)
    arrive(inn, flow)
    arrive(inn, flow)
    OutboxEvent.objects.pending().filter(pk=OutboxEvent.objects.pending()[0].pk).update(
        status=OutboxEvent.Status.UNHEARD
    )
    lost = arrive(inn, flow)
    OutboxEvent.objects.filter(pk=lost.id).update(status=OutboxEvent.Status.RELAYED)
    process = heartbeats.Process(worker="desk@here", host="here", pid=1, started_at=timezone.now())
    heartbeats.note(process, depths={"desk": 0, "kitchen": 0}, handling=0)
    at_the_broker.letters = {"desk": [a_letter("1", ADA), a_letter("2", BOB)]}
    before = InboxEvent.objects.parked().get()

    out = StringIO()
    with pytest.raises(CommandError, match="still here") as raised:
        call_command("erase", "--subject", str(ADA), "--why", "she asked", "--format", "json", stdout=out)

    assert raised.value.returncode == 1
    report = json.loads(out.getvalue())
    assert {(each["what"], each["number"], each["why"]) for each in report["kept"]} == {
        ("events", 1, "on its way to the broker"),
        ("events", 1, "nobody heard it"),
        ("events", 1, "not received yet by desk.greet, kitchen.cook"),
        ("messages", 1, "it is parked"),
        ("messages", 1, "it waits for another attempt"),
        ("dead letters", 1, "in desk.dead"),
    }
    assert report["erased"]["events"] == 2
    assert InboxEvent.objects.parked().get().body == before.body
    assert not at_the_broker.dropped


def a_letter(letter_id: str, subject: Subject) -> Letter:
    body = {"microworkflowskind": subject.kind, "microworkflowskey": subject.key, "data": {"name": NAME}}
    return Letter(
        id=letter_id,
        queue="desk",
        reason="",
        routing_key="",
        at=None,
        worker="",
        content_type=None,
        body=json.dumps(body).encode(),
        headers={},
    )


def test_what_is_given_up_is_erased_and_can_be_neither_replayed_nor_relayed_nor_handled(
    inn: SimpleNamespace, flow: Flow, at_the_broker: SimpleNamespace, client: Client, admin_user: Any
) -> None:
    for inn.fail in (PermanentError("never"), ValueError("later")):
        arrive(inn, flow)
        flow.run(keep_failures=True)
    inn.fail = None
    unheard = arrive(inn, flow)
    OutboxEvent.objects.filter(pk=unheard.id).update(status=OutboxEvent.Status.UNHEARD)
    at_the_broker.letters = {"desk": [a_letter("1", ADA), a_letter("2", BOB)]}

    said = erase(although=True)

    assert "       3  erased  events" in said
    assert "       2  erased  messages" in said
    assert at_the_broker.dropped == ["1"]
    assert NAME not in stored()
    dismissed = list(InboxEvent.objects.filter(status=InboxEvent.Status.DISMISSED))
    assert len(dismissed) == 2
    with pytest.raises(
        CommandError, match=rf"Personal data was erased from {dismissed[0].pk} on .*Nothing was replayed"
    ):
        call_command("replay", str(dismissed[0].pk))
    assert InboxEvent.objects.all().replay(by="clerk") == 0
    assert OutboxEvent.objects.all().relay_again() == 0
    assert store.relay_again(["guests"], types=[], since=timezone.now() - timedelta(days=1)) == 0
    client.force_login(admin_user)
    page = reverse("admin:microworkflows_inboxevent_changelist")
    answer = client.post(
        page,
        {"action": "send_selected_again", "_selected_action": [dismissed[0].pk], "confirmed": "1"},
        follow=True,
    )
    assert "1 left alone: 1 erased" in answer.content.decode()
    # By code of an earlier version, which does not know of it:
    InboxEvent.objects.filter(pk=dismissed[0].pk).update(status=InboxEvent.Status.WAITING, retry=0)
    seen = len(inn.seen)
    flow.retry()
    (parked,) = InboxEvent.objects.parked()
    assert "ErasedEventError" in (parked.error or "")
    assert len(inn.seen) == seen


@pytest.mark.usefixtures("at_the_broker")
def test_guests_learn_that_an_erasure_dismissed_a_message(
    inn: SimpleNamespace,
    flow: Flow,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    acts = []

    class Other(flows.Guest):
        def acted(self, act: str, messages: Sequence[tuple[str, UUID]], *, by: str, why: str) -> None:
            acts.append((act, *messages, by, why))

    inn.fail = PermanentError("never")
    meta = arrive(inn, flow)
    flow.run(keep_failures=True)
    monkeypatch.setattr(flows, "_guests", [Other()])

    with django_capture_on_commit_callbacks(execute=True):
        erase(although=True)

    assert acts == [("dismissed", ("desk.greet", meta.id), "dpo", "she asked")]


def test_guests_learn_the_ids_of_the_flows_those_that_are_given_too(
    inn: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    class Other(flows.Guest):
        def erase(self, erasing: flows.Erasing) -> dict[str, int]:
            told.append(set(erasing.correlation_ids))
            return {}

    meta = arrive(inn, flow, correlation_id="A-000007")
    arrive(inn, flow, correlation_id="A-000008")
    arrive(inn, flow, BOB, correlation_id="A-000009")
    flow.run()
    OutboxEvent.objects.filter(pk=meta.id).delete()
    monkeypatch.setattr(flows, "_guests", [Other()])

    erase()

    assert told == [{str(ADA), "A-000007", "A-000008"}], "of the first, the inbox knows"


def test_what_no_reading_names_is_erased_where_the_announcer_is_not_installed(
    empty_registry: None, flow: Flow
) -> None:
    class Arrived(IncomingEvent, type="guests.arrived.v1"):
        room: int
        name: Personal[str]

    data = {"room": 7, "name": NAME, "further": {"street": STREET}, "none": None}
    now = datetime.now(UTC)

    assert masking.erased("guests.arrived.v1", data, at=now) == {
        "room": 7,
        "name": TODAY,
        "further": TODAY,
        "none": None,
    }
    assert masking.erased("guests.nobody_knows.v1", data, at=now) == TODAY


def test_personal_fields_are_masked_as_sensitive_ones_and_secrets_are_not_personal(
    inn: SimpleNamespace,
) -> None:
    event = inn.Arrived(room=7, name=NAME)

    assert NAME not in repr(event)
    assert masking.data("guests.arrived.v1", {"name": NAME, "token": TOKEN}) == {
        "name": "•••",
        "token": "•••",
    }
    assert sensitive.tree(inn.Arrived, personal=True) == {
        "room": False,
        "name": True,
        "addresses": {"*": True},
        "token": False,
    }


def test_one_object_is_named_for_certain_and_a_name_leads_to_it(inn: SimpleNamespace, flow: Flow) -> None:
    arrive(inn, flow, Subject(kind="guests.guest", key="7", name="Room Seven"))

    with pytest.raises(CommandError, match=r"'Room Seven' is no KIND:KEY.* are about guests.guest:7"):
        call_command("erase", "--subject", "Room Seven", "--why", "she asked")
    with pytest.raises(CommandError, match="--why is empty"):
        call_command("erase", "--subject", str(ADA), "--why", " ")
    with pytest.raises(ValueError, match="give the reason"):
        erasing.erase([ADA], by="dpo", why="")
    assert not Erasure.objects.exists()


def test_broker_that_is_away_is_unknown_and_not_good(
    inn: SimpleNamespace, flow: Flow, at_the_broker: SimpleNamespace
) -> None:
    at_the_broker.away = True

    with pytest.raises(CommandError, match="Not all could be looked at") as raised:
        erase()

    assert raised.value.returncode == 3


def test_flows_of_other_services_are_found_and_their_contexts_named(
    empty_registry: None, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event was received here; it has a correlation id of its own."""

    class Arrived(IncomingEvent, type="guests.arrived.v1"):
        room: int
        name: Personal[str]

    @microworkflow(on=Arrived, context="desk")
    def greet(event: Arrived) -> None: ...

    class Other(flows.Guest):
        def erase(self, erasing: flows.Erasing) -> dict[str, int]:
            return {"things": len(erasing.events)}

        def kept(self, erasing: flows.Erasing) -> list[flows.Kept]:
            return [] if erasing.although else [flows.Kept("notes", 2, "somebody reads them", "wait")]

        def contexts_of(self, erasing: flows.Erasing) -> list[str]:
            return ["bar", "desk"]

    monkeypatch.setattr(flows, "_guests", [Other()])
    from microworkflows import inbox

    body = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/guests",
        "type": "guests.arrived.v1",
        "correlationid": "another",
        "microworkflowskind": ADA.kind,
        "microworkflowskey": ADA.key,
        "data": {"room": 7, "name": NAME},
    }
    inbox.receive(body, queue="desk")

    with pytest.raises(CommandError, match="still here"):
        call_command("erase", "--subject", str(ADA), "--why", "she asked", stdout=(out := StringIO()))
    assert "       2  kept    notes                   somebody reads them: wait" in out.getvalue()
    assert "       1  erased  things" in out.getvalue()
    said = erase(although=True)

    assert NAME not in stored()
    assert "       1  erased  things" in said
    assert "kept" not in said
    assert "Run it there, too: bar, guests took part, in another database." in said


def test_timer_is_kept_until_it_is_sent_or_is_cancelled_although(inn: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(Later(inn.Arrived(room=7, name=NAME), timedelta(days=30)), about=ADA)

    with pytest.raises(CommandError, match="still here"):
        erase()
    said = erase(although=True)

    assert "       1  erased  events" in said
    assert OutboxEvent.objects.get(pk=meta.id).status == OutboxEvent.Status.CANCELLED
    assert NAME not in stored()
