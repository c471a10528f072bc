"""Fixtures of the cut-over: the shop as a monolith that hands its four contexts over."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from microworkflows import heartbeats
from microworkflows.cutover import legacy_steps, switch
from microworkflows.cutover.doubts import KINDS
from microworkflows.cutover.stamps import Mode
from microworkflows.models import Heartbeat
from tests.earlier_shop import earlier_shop
from tests.unit.shop.conftest import draft, shop  # noqa: F401  (fixtures)

CONTEXTS = ["orders", "payments", "inventory", "shipping"]

Switch = Callable[..., switch.Setting]


@pytest.fixture
def monolith(settings: Settings) -> Iterator[None]:
    """Everything is inline; what a test registers as a legacy step is forgotten afterwards."""
    settings.MICROWORKFLOWS = {"CUTOVER": CONTEXTS}
    with legacy_steps.isolated(), earlier_shop():
        yield


@pytest.fixture
def workers(monolith: None, db: None) -> None:
    """A worker of all contexts is seen."""
    process = heartbeats.Process(worker="all@here", host="here", pid=1, started_at=timezone.now())
    heartbeats.note(process, depths=dict.fromkeys(CONTEXTS, 0), handling=0)
    Heartbeat.objects.update(
        seen_at=timezone.now() + timedelta(days=1)
    )  # they live, however long the test takes


@pytest.fixture
def go(workers: None) -> Switch:
    """Return a function that changes the mode of a context."""

    def change(context: str, mode: str, percent: int | None = None) -> switch.Setting:
        return switch.change(
            context, mode=Mode(mode), percent=percent, by="somebody", why="a test", although=KINDS
        )

    return change
