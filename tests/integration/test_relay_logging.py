"""The relay's process logs like the worker beside it: as the project says, or else as Celery does."""

import re
import sys

import pytest

from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask
from tests.integration.support.processes import Launcher

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

WITHOUT_THE_PROJECTS_LOGGING = """
from celery.signals import setup_logging
from django.core.management import execute_from_command_line
import project.celery
setup_logging.disconnect(project.celery.keep_django_logging)
execute_from_command_line(["manage.py", "relay", "probe"])
"""


@pytest.mark.parametrize(
    ("level", "seen"), [("", True), ("30", False)], ids=["by hand", "beside a worker that says little"]
)
def test_relay_of_a_project_without_logging_writes_time_and_level_as_a_worker_does(
    launch: Launcher, broker: Broker, level: str, seen: bool
) -> None:
    relay = launch.start(
        *(sys.executable, "-c", WITHOUT_THE_PROJECTS_LOGGING),
        environment={"CELERY_LOG_LEVEL": level},
        LOGGING={},
    )
    ask()
    broker.take("echo", 1)

    assert relay.stop() == 0

    line = r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+: INFO/MainProcess\] relay probe: leads$"
    assert bool(re.search(line, relay.output, re.MULTILINE)) == seen


def test_projects_logging_is_kept(launch: Launcher, broker: Broker) -> None:
    relay = launch.start(
        *(sys.executable, "-c", WITHOUT_THE_PROJECTS_LOGGING),
        LOGGING={
            "version": 1,
            "formatters": {"own": {"format": "own line: {message}", "style": "{"}},
            "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
            "loggers": {"microworkflows": {"handlers": ["own"], "level": "INFO"}},
        },
    )

    relay.says("own line: relay probe: leads")

    assert relay.stop() == 0
    assert "MainProcess" not in relay.output
