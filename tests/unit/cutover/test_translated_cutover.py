"""Pages of the cut-over that need rows of their own, or that no link leads to, show no raw text."""

import pytest
from django.test import Client
from django.urls import reverse

from microworkflows import times
from microworkflows.cutover.models import ModeChange
from microworkflows.models import Heartbeat
from tests.unit import pseudo_locale
from tests.unit.cutover.conftest import Switch
from tests.unit.cutover.test_cutover_commands import compared

pytestmark = pytest.mark.django_db

NAMES = (
    "somebody",
    "a test",
    "a row",
    "here",
    "a-flow",
)
"""What the rows of these tests name."""


def test_card_of_a_context_that_is_handed_over(admin_client: Client, go: Switch) -> None:
    go("payments", "live", 10)
    go("payments", "inline")
    compared("differs")
    Heartbeat.objects.filter(queue="orders").delete()
    Heartbeat.objects.filter(queue="inventory").update(seen_at="2026-01-01T00:00:00Z")
    Heartbeat.objects.filter(queue="shipping").update(stopped_at=times.now())
    ModeChange.objects.update(although="")

    with pseudo_locale.active():
        assert (
            pseudo_locale.raw_content(
                admin_client.get(reverse("admin:microworkflows_cutover_contextmode_changelist")), *NAMES
            )
            == []
        )


def test_question_whether_to_go_on(admin_client: Client, monolith: None) -> None:
    url = reverse("admin:microworkflows_cutover_switch", args=["payments"])

    with pseudo_locale.active():
        asked = admin_client.post(url, {"wanted": "live 100", "expected": "inline", "why": "a test"})
        assert b"mw-doubts" in asked.content
        assert pseudo_locale.raw_content(asked, *NAMES) == []
        refused = admin_client.post(
            url, {"wanted": "shadow", "expected": "inline", "why": "a test"}, follow=True
        )
        assert "⟦ has no legacy step" in refused.content.decode()
