"""Dead letters by command and in the admin, on the embedded broker; with RabbitMQ: tests/integration."""

import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.contrib.admin.models import DELETION, LogEntry
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from kombu import Connection

from microworkflows import celery_app, dead_letters, topology
from microworkflows.admin import counts
from microworkflows.dead_letters import Letter, opened
from microworkflows.errors import BrokerUnavailableError

Send = Callable[..., None]
TOKEN = "tok_4242424242"


@pytest.fixture
def send() -> Iterator[Send]:
    """Declare the shop's queues; return a function that makes a dead letter. All are gone after the test."""
    with current_app.connection_for_write() as connection:
        channel: Any = connection.channel()
        topology.declare(channel)

        def send(body: str, *, queue: str = "payments", reason: str | None = None, **headers: Any) -> None:
            if reason is not None:
                headers |= dead_letters.reason_headers(ValueError(reason), queue=queue, routing_key="a.key")
            message = channel.prepare_message(body, content_type="text/plain", headers=headers)
            channel.basic_publish(message, exchange="", routing_key=topology.dead_letter_name(queue))

        yield send
        for queue in topology.queues():
            channel.queue_purge(queue)
            channel.queue_purge(topology.dead_letter_name(queue))


def letters(queue: str = "payments") -> list[Letter]:
    with opened() as found:
        return found.look(queue, most=100).letters


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    call_command("dead_letters", *arguments)
    return capsys.readouterr().out


# By command


def test_they_are_listed_by_context_with_id_time_and_reason(
    send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    send("a", reason="it is no event")
    send("b", queue="orders")

    out = run(capsys)

    assert re.search(
        r"1  payments\.dead\n +[0-9a-f]{12}  20\d\d-\d\d-\d\d \S+Z  it is no event  .+ old\n", out
    )
    assert re.search(r"1  orders\.dead\n +[0-9a-f]{12}  at an unknown time  unknown: the message has no", out)
    assert "0  inventory.dead" in out


def test_ids_are_the_same_at_each_look_and_differ_even_between_equal_messages(send: Send) -> None:
    for _ in range(3):
        send("the same")
    send("another")

    first, second = letters(), letters()

    assert [letter.id for letter in first] == [letter.id for letter in second]
    assert len({letter.id for letter in first}) == 4
    assert [letter.body for letter in first] == [b"the same"] * 3 + [b"another"]


def test_one_of_equal_messages_can_be_dropped(send: Send, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        send("the same")

    out = run(capsys, "payments", "--drop", "--id", letters()[1].id, "--yes")

    assert "1  of payments.dead dropped; 2 left" in out
    assert len(letters()) == 2


def test_selected_ones_are_requeued_and_the_others_stay(
    send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    send("one", reason="no JSON", mine=1)
    send("two", reason="too long")

    out = run(capsys, "--requeue", "--reason-contains", "JSON")

    assert "1  of payments.dead brought back to payments; 1 left" in out
    assert [letter.body for letter in letters()] == [b"two"]
    with current_app.connection_for_write() as connection:
        channel: Any = connection.channel()
        message = channel.basic_get("payments")
        assert message is not None
        assert (message.body, message.headers) == (b"one", {"mine": 1})
        message.ack()


def test_they_are_listed_and_selected_by_what_their_flow_is_about(
    send: Send, login: Callable[..., Client], capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"microworkflowskind": "orders.order", "microworkflowskey": "7"}
    send(json.dumps({**about, "microworkflowsname": "A-000007"}))
    send(json.dumps({**about, "microworkflowskey": "8"}))
    send(json.dumps({**about, "microworkflowsname": "\x1b[2J"}))  # beyond the bounds, so it says nothing
    send("[" * 100_000)

    page = login("view_deadletter").get(reverse("admin:microworkflows_deadletter_changelist"))
    listed = run(capsys, "payments")
    dropped = run(capsys, "payments", "--drop", "--yes", "--about", "a-000007")

    assert re.findall(r"about (\S+)\n", listed) == ["A-000007", "orders.order:8"]
    assert "about <bdi>A-000007</bdi>" in page.content.decode()
    assert "1  of payments.dead dropped; 3 left" in dropped
    assert [letter.subject and letter.subject.key for letter in letters()] == ["8", None, None]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--requeue"], "Say which: --id ID"),
        (["--drop", "payments"], "Say which: --id ID"),
        (["--drop", "--all", "--yes"], "Name the context"),
        (["--requeue", "--id", "0123456789ab"], "No such dead letter: 0123456789ab"),
        (["--id", "\x1b[2J"], r"No such dead letter: \x1b[2J"),
    ],
)
def test_what_is_unclear_is_refused_and_all_stay(send: Send, arguments: list[str], said: str) -> None:
    send("one")

    with pytest.raises(CommandError) as raised:
        call_command("dead_letters", *arguments)

    assert said in str(raised.value)
    assert len(letters()) == 1


@pytest.mark.parametrize(("answer", "left"), [("yes\n", 0), ("no\n", 1), ("", 1)])
def test_dropping_names_what_it_deletes_and_asks(
    send: Send,
    answer: str,
    left: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    send("one", reason="no JSON")
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))

    if left:
        with pytest.raises(CommandError, match="Nothing was dropped"):
            call_command("dead_letters", "payments", "--drop", "--all")
    else:
        call_command("dead_letters", "payments", "--drop", "--all")

    out = capsys.readouterr().out
    assert re.search(r"[0-9a-f]{12}  .*  no JSON\n.*Delete these 1 messages of payments.dead for good", out)
    assert len(letters()) == left


def test_showing_masks_what_an_event_calls_sensitive_and_escapes_the_rest(
    send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"type": "orders.order_accepted.v1", "data": {"payment_token": TOKEN, "number": "A-1"}}
    send(json.dumps(event), reason="evil \x1b[2J\nforged", header="\x1b[3J")
    send("x" * 11_000)

    out = run(capsys, "payments", "--show")

    assert TOKEN not in out
    assert '"payment_token": "•••", "number": "A-1"' in out
    assert r"evil \x1b[2J\nforged" in out
    assert "\x1b" not in out
    assert "came by the routing key a.key" in out
    assert "… (11,000 characters)" in out


def test_limit_says_how_many_are_left_out(send: Send, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        send(str(number))

    assert "and 3 more" in run(capsys, "payments", "--limit", "2")


def test_look_that_is_interrupted_leaves_all_where_they_are(send: Send) -> None:
    for number in range(5):
        send(str(number))
    seen: list[Letter] = []

    def interrupted(letter: Letter) -> bool:
        seen.append(letter)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt), opened() as found:
        found.find("payments", interrupted, most=9)

    assert [letter.body for letter in letters()] == [b"0", b"1", b"2", b"3", b"4"]


def test_queue_that_does_not_take_a_message_back_leaves_it_dead(
    send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    send("one")
    with current_app.connection_for_write() as connection:
        channel: Any = connection.channel()
        channel.queue_unbind("payments", topology.exchange().name, "payments")

        with pytest.raises(CommandError, match="is not bound to its own name"):
            call_command("dead_letters", "payments", "--requeue", "--all")

        topology.declare(channel)
    assert "0  of payments.dead brought back to payments; 1 left" in capsys.readouterr().out
    assert len(letters()) == 1


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-death": [{"reason": "delivery_limit", "count": 1}]}, "delivery_limit: the message was"),
        ({"x-death": [{"reason": "expired", "count": 3}]}, "expired, 3 times: the message was older"),
        ({"x-first-death-reason": "maxlen"}, "maxlen: its queue was full"),
        ({"x-first-death-reason": "damaged"}, "damaged"),
        ({"x-death": "nonsense"}, "unknown: the message has no reason"),
        ({"x-death": [{"reason": "\n\x1b"}]}, r"\n\x1b"),
    ],
)
def test_reason_of_the_broker_is_told(send: Send, headers: dict[str, Any], reason: str) -> None:
    send("one", **headers)

    assert letters()[0].reason.startswith(reason)


# Where the broker is away


@pytest.fixture(params=["refused", "silent"])
def away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a broker in place that refuses connections, or takes them and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "silent":
            server.listen()
        url = f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}//"
        app = SimpleNamespace(connection_for_write=lambda: Connection(url))
        monkeypatch.setattr(celery_app, "get", lambda: app)
        monkeypatch.setattr(counts, "SECONDS", 0.2)
        yield


def test_number_is_unknown_where_the_broker_is_away(away: None) -> None:
    assert counts.dead_letters().number is None
    found = dead_letters.survey(most=1, seconds=0.2)
    assert found.keys() == set(topology.queues())
    assert all(isinstance(each, BrokerUnavailableError) for each in found.values())


def test_command_says_that_the_broker_is_away(away: None, settings: Any) -> None:
    settings.MICROWORKFLOWS = {"CONFIRM_TIMEOUT": 0.2}

    with pytest.raises(CommandError, match="The broker is away, so nothing is known"):
        call_command("dead_letters")


@pytest.mark.django_db
def test_pages_say_unknown_where_the_broker_is_away(away: None, admin_client: Client) -> None:
    index = text_of(admin_client.get(reverse("admin:index")))
    page = text_of(admin_client.get(reverse("admin:microworkflows_deadletter_changelist")))

    assert "unknown dead" in index
    assert "payments: unknown The broker did not answer" in page
    assert "payments: 0" not in page


# In the admin


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def told(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def act(client: Client, action: str, *keys: str, confirmed: bool = True) -> Any:
    data = {"action": action, "selected": keys, **({"confirmed": "yes"} if confirmed else {})}
    return client.post(reverse("admin:microworkflows_deadletter_act"), data, follow=True)


@pytest.mark.django_db
def test_index_counts_dead_letters_of_all_contexts(send: Send, admin_client: Client) -> None:
    send("one")
    send("two", queue="orders")

    response = admin_client.get(reverse("admin:index"))

    assert "0 parked unknown unreceived 0 paused 2 dead" in text_of(response)
    assert reverse("admin:microworkflows_deadletter_changelist") in response.content.decode()


def test_page_lists_those_of_every_context_with_reasons_and_bodies_masked(
    send: Send, login: Callable[..., Client]
) -> None:
    event = {"type": "orders.order_accepted.v1", "data": {"payment_token": TOKEN}}
    send(json.dumps(event), reason="no <b>event</b>")
    send("two", queue="orders")

    response = login("view_deadletter").get(reverse("admin:microworkflows_deadletter_changelist"))

    html = response.content.decode()
    assert "payments: 1" in text_of(response)
    assert "orders: 1" in text_of(response)
    assert "no &lt;b&gt;event&lt;/b&gt;" in html
    assert TOKEN not in html
    assert "checkbox" not in html
    assert 'value="requeue"' not in html
    assert len(letters()) == 1


@pytest.mark.parametrize("codename", ["view_inboxevent", "requeue_deadletter"])
def test_page_needs_the_permission_to_view(login: Callable[..., Client], codename: str) -> None:
    response = login(codename).get(reverse("admin:microworkflows_deadletter_changelist"))

    assert response.status_code == 403


def test_selected_ones_are_dropped_once_that_is_confirmed(send: Send, login: Callable[..., Client]) -> None:
    send("one", reason="first")
    send("two", reason="second")
    first, second = letters()
    client = login("view_deadletter", "drop_deadletter")

    asked = act(client, "drop", f"payments:{first.id}", confirmed=False)

    assert "Delete these messages for good?" in text_of(asked)
    assert "first" in text_of(asked)
    assert "second" not in text_of(asked)
    assert len(letters()) == 2
    done = act(client, "drop", f"payments:{first.id}")
    assert told(done) == ["1 message dropped."]
    assert [letter.id for letter in letters()] == [second.id]
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.action_flag) == (first.id, DELETION)
    assert "payments.dead" in entry.object_repr


def test_selected_ones_are_requeued(send: Send, login: Callable[..., Client]) -> None:
    send("one")
    (letter,) = letters()

    done = act(login("view_deadletter", "requeue_deadletter"), "requeue", f"payments:{letter.id}")

    assert told(done) == ["1 message requeued."]
    assert letters() == []
    with opened() as found, found._talking() as channel:
        assert channel.basic_get("payments", no_ack=True).body == b"one"


def test_one_that_is_there_no_longer_is_told(send: Send, login: Callable[..., Client]) -> None:
    client = login("view_deadletter", "drop_deadletter")

    asked = act(client, "drop", "payments:0123456789ab", confirmed=False)
    done = act(client, "drop", "payments:0123456789ab")

    assert "1 of the selected dead letters is there no longer" in text_of(asked)
    assert told(done) == ["0 messages dropped. 1 left alone, or there no longer."]


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize(("allowed", "wanted"), [("requeue", "drop"), ("drop", "requeue")])
def test_each_action_needs_its_own_permission(
    send: Send, login: Callable[..., Client], allowed: str, wanted: str, confirmed: bool
) -> None:
    send("one")
    (letter,) = letters()
    client = login("view_deadletter", f"{allowed}_deadletter")

    response = act(client, wanted, f"payments:{letter.id}", confirmed=confirmed)

    assert response.status_code == 403
    assert len(letters()) == 1
    page = client.get(reverse("admin:microworkflows_deadletter_changelist")).content.decode()
    assert f'value="{allowed}"' in page
    assert f'value="{wanted}"' not in page


@pytest.mark.parametrize(
    ("action", "key"), [("burn", "payments:1"), ("drop", "elsewhere:1"), ("drop", "payments:")]
)
def test_form_that_names_nothing_known_is_refused(admin_client: Client, action: str, key: str) -> None:
    assert act(admin_client, action, key).status_code == 400


def test_acting_is_posted_and_a_single_dead_letter_has_no_page(admin_client: Client) -> None:
    assert admin_client.get(reverse("admin:microworkflows_deadletter_act")).status_code == 405
    page = admin_client.get(reverse("admin:microworkflows_deadletter_change", args=["x"]))
    assert page.headers["Location"] == reverse("admin:microworkflows_deadletter_changelist")
