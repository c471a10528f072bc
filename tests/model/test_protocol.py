"""The delivery protocol holds in every interleaving that is tried; docs/explanation/protocol.md explains state, steps and invariants."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import machine
from tests.model.machine import Protocol
from tests.soaking import Report, times

pytestmark = [pytest.mark.postgres]

EXAMPLES = 100
STEPS = 40


class Trace(Protocol):
    """One interleaving, step by step."""

    def relayed(self) -> None:
        """Record an event, and relay it."""
        self.then("record", commits=True)
        self.then("claim", relay=0, pick=0, limit=1, answers=["confirm"])
        self.then("mark", pick=0)

    def worked(self, *outcomes: str, pick: int = 0) -> None:
        """Deliver a message to the handlers, which end so in the order of their labels, and acknowledge it."""
        self.then("deliver", pick=pick, outcomes=list(outcomes))
        self.then("ack", pick=0)

    def then(self, step: str, **values: Any) -> None:
        """Do a step, and look at the invariants."""
        getattr(self, step)(**values)
        self.holds()


@pytest.fixture
def trace(room: type[Protocol]) -> Iterator[Trace]:
    trace = Trace()
    yield trace
    trace.world.close()


def test_relay_does_not_wait_for_a_handler_that_retries(trace: Trace) -> None:
    trace.relayed()
    trace.worked("fail", "ok")
    trace.then("claim_retries", relay=0, pick=0, answers=["confirm"], seconds=3600, is_old=False)
    trace.then("hold", pick=0, which=0, then="")
    trace.then("mark", pick=0)
    trace.then("finish", pick=0, outcome="ok")
    trace.teardown()


def test_replay_after_a_purge_doubles_no_effect(trace: Trace) -> None:
    trace.relayed()
    trace.worked("ok", "permanent")
    trace.then("claim", relay=0, pick=0, limit=1, answers=["confirm"])
    trace.then("mark", pick=0)
    trace.worked("ok")
    trace.then("purge")
    trace.then("replay")
    trace.teardown()


def test_parked_message_is_not_revived_by_a_duplicate(trace: Trace) -> None:
    trace.relayed()
    trace.then("duplicate", pick=0)
    trace.then("hold", pick=0, which=0, then="")
    trace.then("finish", pick=0, outcome="fail")
    trace.worked("permanent", "ok")
    trace.then("keep", pick=0, order="keep")
    trace.teardown()


def test_dismissed_message_is_not_revived_by_a_duplicate(trace: Trace) -> None:
    trace.relayed()
    trace.then("duplicate", pick=0)
    trace.worked("permanent", "permanent")
    trace.then("dismiss")
    trace.worked("ok", "ok")
    trace.then("relay_again", relayed_too=True)
    trace.teardown()


@pytest.mark.slow
@pytest.mark.soak
def test_no_interleaving_is_found_that_breaks_the_protocol(room: type[Protocol], soaked: Report) -> None:
    """The usual search is the same in each run; a longer one is another each time, and says how to repeat what it found."""
    machine.counted.update(examples=0, steps=0)

    run_state_machine_as_test(
        room,
        settings=settings(
            max_examples=times(EXAMPLES),
            stateful_step_count=STEPS,
            derandomize=times(1) == 1,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

    soaked(**machine.counted)
