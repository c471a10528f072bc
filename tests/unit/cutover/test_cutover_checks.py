"""The checks of a cut-over, by their stable ids."""

from io import StringIO

import pytest
from django.core.checks import CheckMessage
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections
from pytest_django import Settings

from microworkflows import microworkflow
from microworkflows.checks import surroundings
from microworkflows.cutover import checks, legacy_steps
from microworkflows.models import InboxEvent
from orders import operations
from payments.events import OrderAccepted
from payments.workflows import take_payment
from tests.unit.shop.conftest import Draft


def _ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


@pytest.mark.django_db
def test_shop_that_hands_its_contexts_over_passes_every_check(monolith: None) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)

    call_command("check", fail_level="WARNING", stderr=StringIO())


def test_manage_py_check_runs_the_checks(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"CUTOVER": ["billing"]}

    with pytest.raises(SystemCheckError, match=r"microworkflows\.W041"):
        call_command("check", fail_level="WARNING")


@pytest.mark.parametrize(
    ("context", "problem"),
    [("billing", "is not the label of an installed app"), ("sessions", "has no microworkflow")],
)
def test_w041_context_that_is_none(settings: Settings, context: str, problem: str) -> None:
    settings.MICROWORKFLOWS = {"CUTOVER": ["payments", context]}

    (warning,) = checks.check_contexts()

    assert warning.id == "microworkflows.W041"
    assert context in warning.msg
    assert problem in warning.msg


def test_e042_context_called_as_the_monoliths_queue(empty_registry: None) -> None:
    assert checks.check_reserved_names() == []
    microworkflow(on=OrderAccepted, context="monolith")(lambda event: None)

    assert _ids(checks.check_reserved_names()) == ["microworkflows.E042"]


def test_w043_legacy_step_that_never_runs(monolith: None, settings: Settings) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    assert checks.check_legacy_steps() == []

    settings.MICROWORKFLOWS = {"CUTOVER": ["orders"]}

    (warning,) = checks.check_legacy_steps()
    assert warning.id == "microworkflows.W043"
    assert "payments.take_payment" in warning.msg


def test_unreadable_settings_are_left_to_their_own_check(monolith: None, settings: Settings) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    settings.MICROWORKFLOWS = {"CUTOVER": "payments"}

    found = [*checks.check_contexts(), *checks.check_legacy_steps()]

    assert found == []
    assert _ids(surroundings.check_settings()) == ["microworkflows.E001"]


def test_w044_flows_that_nobody_goes_on_with(monolith: None, draft: Draft, settings: Settings) -> None:
    operations.place_order(order=draft())
    InboxEvent.objects.filter(msg_id__startswith="payments.").update(status=InboxEvent.Status.PARKED)
    assert checks.check_forsaken_flows(databases=["default"]) == []
    settings.MICROWORKFLOWS = {}

    (warning,) = checks.check_forsaken_flows(databases=["default"])

    assert warning.id == "microworkflows.W044"
    assert "1 flows wait for the monolith to do steps of 'payments'" in warning.msg
    assert checks.check_forsaken_flows(databases=None) == []
    with pytest.raises(SystemCheckError, match=r"microworkflows\.W044"):
        call_command("check", databases=["default"], fail_level="WARNING")


def test_w044_is_silent_before_the_first_migration(
    monolith: None, db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections["default"].introspection, "table_names", list)

    assert checks.check_forsaken_flows(databases=["default"]) == []


def test_legacy_step_of_what_is_no_microworkflow_is_refused() -> None:
    with pytest.raises(TypeError, match=r"@legacy\('payments.take_payment'\): that is no microworkflow"):
        legacy_steps.legacy("payments.take_payment")  # type: ignore[arg-type]
