"""The gate of a move: a proof that the context is apart from the others, or a reason to do without, which is kept."""

from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.splitting import databases, preflight
from microworkflows.cutover.splitting.steps import MoveStep
from microworkflows.cutover.unplugging import proof
from microworkflows.cutover.unplugging.proof import Proof
from tests.integration.cutover import shop

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    """Keep the proofs of a test in a folder of its own."""
    settings.BASE_DIR = tmp_path
    return tmp_path


def test_move_begins_on_a_proof_or_on_a_reason_and_keeps_it(source: str, target: str) -> None:
    for check in (False, True):
        with pytest.raises(
            CommandError, match="Nothing proves that payments is apart from the others"
        ) as refusal:
            shop.split(to=target, unproven=" ", check=check)
        assert "manage.py unplug payments" in str(refusal.value)
        assert '--unproven "why"' in str(refusal.value)
    assert shop.move() is None

    shop.stop_before("prepare", to=target)
    begun = shop.move()
    assert begun is not None
    assert begun.evidence == f"unproven: {shop.UNPROVEN}"

    begun.delete()
    given = {"tests": 12, "own_statements": 34, "others_statements": 56, "steps": ["payments.take_payment"]}
    proven = {"proven_at": timezone.now(), "code": proof.digest(), "by": "pytest", **given}
    proof.keep({"payments": Proof.model_validate(proven)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop, "UNPROVEN", "")
        shop.stop_before("prepare", to=target)
    proof.path().unlink()
    shop.stop_before("prepare", to=target)  # it goes on, on what it began
    begun = shop.move()
    assert begun is not None
    assert "12 tests, 34 statements of its own, 56 of others" in begun.evidence


@pytest.mark.slow
def test_way_back_needs_no_proof(source: str, prepared: str) -> None:
    with databases.target_at(prepared, source=connection) as target:
        assert list(preflight.of_proof(connection, target, "payments"))
        now = timezone.now()
        moved = {"target": "postgresql://elsewhere/payments", "step": MoveStep.MOVED}
        ContextMove.objects.using(target.alias).create(
            context="payments", started_at=now, changed_at=now, **moved
        )

        assert list(preflight.of_proof(connection, target, "payments")) == []
