"""An error tracker is told of each failure once, with the exception that somebody has to mend."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from microworkflows import Subject, outbox
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Whispered, ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

Reported = tuple[str | None, str | None, str | None]
"""Logger, exception and function in which it was raised."""


@pytest.fixture
def refusing(database: str) -> Iterator[None]:
    """Make the inbox refuse each message whose flow is about a refused row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION probe_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.body->>'microworkflowskey' = 'refused' THEN RAISE 'no such row' USING ERRCODE = '23514'; END IF; "
            "RETURN NEW; END $$; "
            "CREATE TRIGGER probe_refuses BEFORE INSERT ON received FOR EACH ROW EXECUTE FUNCTION probe_refuse()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION probe_refuse() CASCADE")


@pytest.mark.slow
def test_each_failure_is_reported_once_with_its_own_exception(
    launch: Launcher, broker: Broker, refusing: None, tmp_path: Path
) -> None:
    file = tmp_path / "reports"
    worker = launch.worker("probe", PROBE_REPORTS={"file": str(file)}, MICROWORKFLOWS={"MAX_ATTEMPTS": 2})

    ask(behaviour="fail", file=str(tmp_path / "fails"), times=2)
    ask(behaviour="refuse")
    ask(about=Subject(kind="probe.row", key="refused"))
    broker.publish("no event")
    with transaction.atomic():
        outbox.record_all([Whispered(number=1), Whispered(number=2)])
    eventually(lambda: len(_reports(file)) >= 5, what="five reports")
    (last,) = ask()
    eventually(lambda: str(last.id) in effects(), what="the effect of an event after all that")

    assert sorted(map(_summary, _reports(file)), key=str) == [
        ("microworkflows.failures", "PermanentError", "refuse"),
        ("microworkflows.failures", "RuntimeError", "fail_at_first"),
        ("microworkflows.relay.loop", None, None),
        ("microworkflows.worker.consumer", "InvalidCloudEventError", "parse"),
        (None, "UnkeepableError", "keep"),
    ]
    assert worker.output.count("dead letter in probe.dead: The inbox cannot keep") == 1
    assert worker.output.count("after attempt 1, due ") == 1, "a retry is a warning, which is no report"


def _reports(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _summary(report: dict[str, Any]) -> Reported:
    if "exception" not in report:
        return report["logger"], None, None
    raised = report["exception"]["values"][-1]
    return report.get("logger"), raised["type"], raised["stacktrace"]["frames"][-1]["function"]
