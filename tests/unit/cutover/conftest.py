"""Fixtures of the cut-over: the shop as a monolith that hands its four contexts over."""

from collections.abc import Callable, Iterator

import pytest
from django.utils import timezone
from pytest_django import Settings

from microworkflows.cutover import legacy_steps, switch
from microworkflows.cutover.models import WorkerPresence
from microworkflows.cutover.stamps import Mode
from microworkflows.testing import flow  # noqa: F401  (a fixture)
from tests.unit.shop.conftest import draft, shop  # noqa: F401  (fixtures)

CONTEXTS = ["orders", "payments", "inventory", "shipping"]

Switch = Callable[..., switch.Setting]


@pytest.fixture
def monolith(settings: Settings) -> Iterator[None]:
    """Everything is inline; what a test registers as a legacy step is forgotten afterwards."""
    settings.MICROWORKFLOWS = {"CUTOVER": CONTEXTS}
    with legacy_steps.isolated():
        yield


@pytest.fixture
def workers(monolith: None, db: None) -> None:
    """A worker of each context was seen."""
    for context in CONTEXTS:
        WorkerPresence.objects.create(queue=context, host="here", seen_at=timezone.now())


@pytest.fixture
def go(workers: None) -> Switch:
    """Return a function that changes the mode of a context."""

    def change(context: str, mode: str, percent: int | None = None) -> switch.Setting:
        return switch.change(context, mode=Mode(mode), percent=percent, by="somebody", why="a test")

    return change
