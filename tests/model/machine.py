"""A search for interleavings that break the delivery protocol; docs/explanation/protocol.md explains its state, steps and invariants."""

import sys
from typing import Any, NamedTuple
from unittest import mock
from uuid import UUID

from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from microworkflows import bundling, registry
from microworkflows.models import InboxEvent, OutboxEvent
from tests.model.world import (
    CONTEXTS,
    DEPLOYMENTS,
    EFFECTS,
    OUTCOMES,
    RETENTION,
    WRITTEN,
    Clock,
    Copy,
    Held,
    Relay,
    World,
)

HANDLED, WAITING, PARKED, DISMISSED = (
    InboxEvent.Status.HANDLED.value,
    InboxEvent.Status.WAITING.value,
    InboxEvent.Status.PARKED.value,
    InboxEvent.Status.DISMISSED.value,
)
PICK = st.integers(0, 5)
"""Picks one of several, whatever their number."""
ANSWERS = st.lists(st.sampled_from(["confirm"] * 4 + ["lost", "nack", "reject"]), max_size=3)
"""The broker's answers to the first messages of a batch, which are published at once."""
PLAN = st.lists(st.sampled_from(["ok", "fail", "fail", "permanent", "die"]), min_size=3, max_size=3)
_ROUNDS = 60
_MOST_LETTERS = 2
"""Number of events with which a flow begins: few, so that many steps meet the same one."""


class Row(NamedTuple):
    """What matters of an inbox row."""

    status: int
    attempts: int
    error: str


counted = {"examples": 0, "steps": 0}
"""What was searched in this process."""


class Protocol(RuleBasedStateMachine):
    """The rules are the steps; after each, the invariants hold."""

    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM published; DELETE FROM received; DELETE FROM microworkflows_history; DELETE FROM {EFFECTS}"
            )
        self.clock.reset()
        self.world = World(self.clock)
        self.rows: dict[str, Row] = {}
        """The inbox after the last step, by its keys."""
        self.delivered: list[Copy] = []
        """Copies that the last step delivered, or went on with."""
        self.purged: set[str] = set()
        """Keys of messages that were handled and then purged."""
        self.given_up: set[str] = set()
        """Keys of messages that were dismissed and then purged."""
        self.types: dict[UUID, str] = {}
        self.outbox: dict[UUID, int] = {}
        """Status of each outbox row after the last step."""
        self.step = ""
        self.deployments = 0
        self.steady = set(DEPLOYMENTS[0])
        """Labels of the microworkflows that were there all the time."""
        counted["examples"] += 1

    # Recording

    @precondition(lambda self: [*self.types.values()].count(WRITTEN) < _MOST_LETTERS)
    @rule(commits=st.sampled_from([True, True, True, False]))
    def record(self, commits: bool) -> None:
        self.step = "record"
        self.world.record(commits=commits)

    # The relay

    @precondition(lambda self: self._pending())
    @rule(relay=st.integers(0, 1), pick=PICK, limit=st.integers(1, 3), answers=ANSWERS)
    def claim(self, relay: int, pick: int, limit: int, answers: list[str]) -> None:
        """A relay claims events, and publishes the first of them."""
        contexts = self._pending()
        self._claim(relay, contexts[pick % len(contexts)], limit=limit, answers=answers, retries=False)

    @precondition(lambda self: self._waiting())
    @rule(
        relay=st.integers(0, 1),
        pick=PICK,
        answers=ANSWERS,
        seconds=st.sampled_from([0, 61, 3600, 3600]),
        is_old=st.sampled_from([False, False, False, True]),
    )
    def claim_retries(self, relay: int, pick: int, answers: list[str], seconds: int, is_old: bool) -> None:
        """A relay finds messages that are due again, and publishes the first of them; kit 0.1 without their labels."""
        contexts = self._waiting()
        self.clock.advance(seconds)
        context = contexts[pick % len(contexts)]
        self._claim(relay, context, limit=3, answers=answers, retries=True, is_old=is_old)

    def _claim(
        self, relay: int, context: str, *, limit: int, answers: list[str], retries: bool, is_old: bool = False
    ) -> None:
        self.step = "claim"
        own = self.world.relays[relay]
        before = list(own.sendings)
        self.world.claim(own, context, limit=limit, retries=retries)
        for sending in own.sendings:
            if sending in before:
                continue
            if is_old:
                sending.messages = [message._replace(label=None) for message in sending.messages]
            for _, answer in zip(sending.messages, answers, strict=False):
                self.world.publish(sending, answer=answer)

    @precondition(lambda self: self._unsent())
    @rule(pick=PICK, answer=st.sampled_from(["confirm"] * 3 + ["lost", "nack", "reject"]))
    def publish(self, pick: int, answer: str) -> None:
        self.step = "publish"
        sendings = self._unsent()
        self.world.publish(sendings[pick % len(sendings)], answer=answer)

    @precondition(lambda self: self._sendings())
    @rule(pick=PICK)
    def mark(self, pick: int) -> None:
        self.step = "mark"
        sendings = self._sendings()
        relay, sending = sendings[pick % len(sendings)]
        self.world.mark(relay, sending)

    @precondition(lambda self: self._sendings())
    @rule(relay=st.integers(0, 1), only_session=st.booleans())
    def lose_relay(self, relay: int, only_session: bool) -> None:
        """A relay dies; or its session is ended, and it does not know yet that it no longer leads."""
        self.step = "lose_relay"
        if only_session:
            self.world.relays[relay].end_session()
        else:
            self.world.relays[relay].restart()

    # Workers

    @precondition(lambda self: self._deliverable())
    @rule(pick=PICK, outcomes=PLAN)
    def deliver(self, pick: int, outcomes: list[str]) -> None:
        self.step = "deliver"
        copies = self._deliverable()
        copy = copies[pick % len(copies)]
        self.world.deliver([copy], plan=_plan(copy, outcomes))
        self._check_received([copy])

    @precondition(lambda self: len(self._bundle()) > 1)
    @rule(outcomes=PLAN, is_slow=st.booleans())
    def deliver_bundle(self, outcomes: list[str], is_slow: bool) -> None:
        """A worker takes several; they share a transaction, or it begins a new one after each, since its time is up."""
        self.step = "deliver_bundle"
        copies = self._bundle()
        with mock.patch.object(bundling, "_LONGEST_SECONDS", 0.0 if is_slow else 3600.0):
            self.world.deliver(copies, plan=_plan(copies[0], outcomes))
        self._check_received(copies)

    @precondition(lambda self: len(self.world.held) < 3 and self._deliverable())
    @rule(pick=PICK, which=PICK, then=st.sampled_from(["", "", "fail", "permanent"]))
    def hold(self, pick: int, which: int, then: str) -> None:
        """A handler begins, and is at work while others go on; or it fails, and others come before that is kept."""
        self.step = "hold"
        copies = self._deliverable()
        copy = copies[pick % len(copies)]
        if labels := copy.listeners():
            self.world.hold(copy, label=labels[which % len(labels)])
        if then and (held := self._held("holds")) and held[-1].copy is copy:
            self.world.go_on(held[-1], then)
        self.delivered = [copy]

    @precondition(lambda self: self._held("holds"))
    @rule(pick=PICK, outcome=st.sampled_from(OUTCOMES))
    def finish(self, pick: int, outcome: str) -> None:
        """A handler at work ends, or its process dies."""
        self._go_on("finish", self._held("holds"), pick, outcome)

    @precondition(lambda self: self._keepers())
    @rule(pick=PICK, order=st.sampled_from(["keep", "keep", "keep", "die"]))
    def keep(self, pick: int, order: str) -> None:
        """A failure, whose transaction was rolled back before, is kept."""
        self._go_on("keep", self._keepers(), pick, order)

    def _go_on(self, step: str, all_: list[Held], pick: int, order: str) -> None:
        self.step = step
        held = all_[pick % len(all_)]
        self.world.go_on(held, order)
        self._check_received([held.copy])

    @precondition(lambda self: self.world.broker.unacked)
    @rule(pick=PICK)
    def ack(self, pick: int) -> None:
        self.step = "ack"
        unacked = self.world.broker.unacked
        self.world.ack(unacked[pick % len(unacked)])

    @precondition(lambda self: self.world.broker.unacked)
    @rule(pick=PICK)
    def redeliver(self, pick: int) -> None:
        """A worker dies between commit and acknowledgement."""
        self.step = "redeliver"
        unacked = self.world.broker.unacked
        self.world.redeliver(unacked[pick % len(unacked)])

    @precondition(lambda self: self.world.broker.copies())
    @rule(pick=PICK)
    def duplicate(self, pick: int) -> None:
        self.step = "duplicate"
        copies = self.world.broker.copies()
        copy = copies[pick % len(copies)]
        self.world.broker.ready.append(Copy(copy.queue, copy.message))

    # Time, people, deployments

    @rule()
    def pass_time(self) -> None:
        self.step = "pass_time"
        self.clock.advance(61)

    @precondition(lambda self: self._has(PARKED))
    @rule()
    def replay(self) -> None:
        self.step = "replay"
        self.world.replay()

    @precondition(lambda self: self._has(PARKED))
    @rule()
    def dismiss(self) -> None:
        self.step = "dismiss"
        self.world.dismiss()

    @precondition(lambda self: self._may_purge())
    @rule()
    def purge(self) -> None:
        """So much time passes that what was handled is purged."""
        self.step = "purge"
        self.clock.advance(RETENTION.total_seconds() + 60)
        self.world.purge()

    @precondition(lambda self: self.outbox)
    @rule(relayed_too=st.sampled_from([False, False, True]))
    def relay_again(self, relayed_too: bool) -> None:
        """Somebody relays unheard and rejected events again, or all."""
        self.step = "relay_again"
        self.world.relay_again(relayed_too=relayed_too)

    @precondition(lambda self: self.deployments < 2 and self.types)
    @rule(labels=st.sampled_from(DEPLOYMENTS))
    def deploy(self, labels: tuple[str, ...]) -> None:
        self.step = "deploy"
        self.deployments += 1
        self.steady &= set(labels)
        self.world.deploy(labels)

    # Invariants

    @invariant()
    def holds(self) -> None:
        """Compare the database with the queues, and with itself after the last step."""
        counted["steps"] += 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, status, destination FROM published ORDER BY id")
            outbox = {event: (status, type_) for event, status, type_ in cursor.fetchall()}
            cursor.execute("SELECT msg_id, status, retry, coalesce(headers ->> 'error', '') FROM received")
            rows = {key: Row(*values) for key, *values in cursor.fetchall()}
            cursor.execute(f"SELECT label || ':' || event_id, count(*) FROM {EFFECTS} GROUP BY 1")
            effects: dict[str, int] = dict(cursor.fetchall())
        for event, (_, type_) in outbox.items():
            if event not in self.types:
                self.types[event] = type_
        self._check_rows(rows)
        self.delivered = []
        self.rows, self.outbox = rows, {event: status for event, (status, _) in outbox.items()}
        self._check_effects(effects)
        self._check_nothing_is_lost(self.outbox)

    def _check_rows(self, rows: dict[str, Row]) -> None:
        for key, before in self.rows.items():
            if key in rows:
                self._check_row(key, before, rows[key])
            elif before.status == HANDLED and self.step == "purge":
                self.purged.add(key)
            elif before.status == DISMISSED and self.step == "purge":
                self.given_up.add(key)
            else:
                is_received_anew = _is_nobodys(key) and self._is_under_way(key)
                assert is_received_anew, f"{key} vanished by {self.step}"

    def _check_row(self, key: str, before: Row, now: Row) -> None:
        if before.status == HANDLED:
            assert now.status == HANDLED, f"{key} was handled and is no more, by {self.step}"
        elif before.status == DISMISSED or (
            before.status == PARKED and self.step not in {"replay", "dismiss"}
        ):
            assert now == before, f"{key} was parked or dismissed and was changed, by {self.step}"
        elif before.attempts != now.attempts and self.step != "replay":
            assert now.attempts == before.attempts + 1, f"{key} lost several attempts, by {self.step}"
            tried = {copy.message.attempt for copy in self.delivered if str(copy.event) == key[-36:]}
            assert before.attempts in tried, f"a duplicate cost {key} an attempt, by {self.step}"

    def _check_effects(self, effects: dict[str, int]) -> None:
        handled = {key for key, row in self.rows.items() if row.status == HANDLED} | self.purged
        self.given_up -= handled  # an event so old that nobody knew of the dismissal came again
        for key in handled | effects.keys():
            assert effects.get(key, 0) == (key in handled), (
                f"{key} had its effect {effects.get(key, 0)} times"
            )

    def _check_nothing_is_lost(self, outbox: dict[UUID, int]) -> None:
        held_back = {*OutboxEvent.Status.values} - {OutboxEvent.Status.RELAYED.value}
        copies = {(copy.queue, copy.event) for copy in self.world.broker.copies()}
        received = {
            (key.partition(":")[0].partition(".")[0], key[-36:])
            for key in {*self.rows, *self.purged, *self.given_up}
        }
        for event in self.types:
            if outbox.get(event) in held_back:
                continue
            reached = self.world.broker.reached.get(event)
            assert reached, f"{event} was marked and reached no queue, by {self.step}"
            for queue in reached:
                assert (queue, event) in copies or (queue, str(event)) in received, (
                    f"{event} is lost on its way to {queue}, by {self.step}"
                )

    def _check_received(self, copies: list[Copy]) -> None:
        """After a delivery, each microworkflow that listened has its row."""
        self.delivered = copies
        with connection.cursor() as cursor:
            cursor.execute("SELECT msg_id FROM received")
            known = {key for (key,) in cursor.fetchall()} | self.purged | self.given_up
        for copy in copies:
            if copy in self.world.broker.unacked:
                for label in copy.heard_by:
                    assert f"{label}:{copy.event}" in known, f"{label} never received {copy.event}"

    def teardown(self) -> None:
        """Let everything come to rest, unless a step has failed; then each event was handled by each listener, or is parked."""
        try:
            if sys.exc_info()[0] is None and self.types:
                self._come_to_rest()
        finally:
            self.world.close()

    def _come_to_rest(self) -> None:
        while self.world.held:
            held = (self._held("holds") or self._keepers())[0]
            self.delivered = [held.copy]
            self._then("finish", lambda held=held: self.world.go_on(held, "ok"))
        for relay in self.world.relays:
            relay.restart()
        for _ in range(_ROUNDS):
            self._do_a_round(self.world.relays[0])
            if not (self._pending() or self._waiting() or self.world.broker.copies()):
                break
        else:
            raise AssertionError("it does not come to rest")
        for event, type_ in self.types.items():
            for workflow in registry.listeners(type_):
                if workflow.label in self.steady:
                    key = f"{workflow.label}:{event}"
                    ends = (HANDLED, PARKED, DISMISSED)
                    assert key in self.purged | self.given_up or self.rows[key].status in ends, (
                        f"{key} never ended"
                    )

    def _do_a_round(self, relay: Relay) -> None:
        """Relay, redeliver, deliver and acknowledge everything once; no handler fails."""
        world, broker = self.world, self.world.broker
        self._then("relay_again", world.relay_again)
        for retries in (False, True):
            for context in CONTEXTS:
                world.claim(relay, context, limit=50, retries=retries)
        for sending in list(relay.sendings):
            while sending.sent < len(sending.messages):
                world.publish(sending, answer="confirm")
            self._then("mark", lambda sending=sending: world.mark(relay, sending))
        for copy in list(broker.ready):
            self.delivered = [copy]
            self._then("deliver", lambda copy=copy: world.deliver([copy], plan={}))
        for copy in list(broker.unacked):
            self._then("ack", lambda copy=copy: world.ack(copy))
        self.clock.advance(3600)

    def _then(self, step: str, act: Any) -> None:
        self.step = step
        act()
        self.holds()

    # What there is to pick from

    def _sendings(self) -> list[Any]:
        return [(relay, sending) for relay in self.world.relays for sending in relay.sendings]

    def _unsent(self) -> list[Any]:
        return [sending for _, sending in self._sendings() if sending.sent < len(sending.messages)]

    def _deliverable(self) -> list[Copy]:
        """Return the copies whose worker would not wait for a handler of the same event."""
        busy = self._busy()
        return [copy for copy in self.world.broker.ready if (copy.queue, copy.event) not in busy]

    def _busy(self) -> set[tuple[str, UUID]]:
        return {(held.copy.queue, held.copy.event) for held in self._held("holds")}

    def _held(self, state: str) -> list[Held]:
        return [held for held in self.world.held if held.state == state]

    def _keepers(self) -> list[Held]:
        """Return the failed deliveries that would not wait for a handler of the same event."""
        busy = self._busy()
        return [held for held in self._held("failed") if (held.copy.queue, held.copy.event) not in busy]

    def _bundle(self) -> list[Copy]:
        first = [copy for copy in self._deliverable() if copy.message.attempt is None]
        return [copy for copy in first if copy.queue == first[0].queue][:4]

    def _is_under_way(self, key: str) -> bool:
        return any(key == f"{copy.queue}:{copy.event}" for copy in self.world.broker.copies())

    def _of_status(self, name: str) -> list[UUID]:
        return [event for event, status in self.outbox.items() if status == OutboxEvent.Status[name].value]

    def _pending(self) -> list[str]:
        return sorted({self.types[event].partition(".")[0] for event in self._of_status("PENDING")})

    def _waiting(self) -> list[str]:
        waiting = [key for key, row in self.rows.items() if row.status == WAITING]
        return sorted({key.partition(":")[0].partition(".")[0] for key in waiting})

    def _may_purge(self) -> bool:
        """Return True if no duplicate will be older than the retention, for nobody promises to recognise that."""
        if self._sendings() or self.world.broker.copies():
            return False
        return self._has(HANDLED) and {*self.outbox.values()} <= {OutboxEvent.Status.RELAYED.value}

    def _has(self, status: int) -> bool:
        return any(row.status == status for row in self.rows.values())


def _plan(copy: Copy, outcomes: list[str]) -> dict[str, str]:
    return dict(zip(copy.listeners(), outcomes, strict=False))


def _is_nobodys(key: str) -> bool:
    """Return True for the row of a context in which no microworkflow listened."""
    return "." not in key.partition(":")[0]
