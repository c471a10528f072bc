"""The app: off, the core does not load OpenTelemetry; on, it names what is missing and sends the last spans."""

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.signals import worker_process_shutdown
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from opentelemetry import trace

from microworkflows import celery_app
from microworkflows.telemetry import attributes

OFF = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django
django.setup()
from microworkflows import flows, inbox, outbox
from microworkflows.relay import loop
from microworkflows.worker import consumer
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "microworkflows.telemetry"))))
print([type(guest).__name__ for guest in flows._guests])
"""


def test_without_the_app_nothing_of_opentelemetry_is_loaded_or_called() -> None:
    run = subprocess.run(
        [sys.executable, "-c", OFF],
        env={"DEBUG": "1", "PATH": "", "DATABASE_URL": "sqlite://:memory:"},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded, guests = run.stdout.splitlines()[-2:]
    assert loaded == "[]"
    assert "Telemetry" not in guests


def test_app_without_opentelemetry_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "microworkflows.telemetry.guest")
    monkeypatch.delattr("microworkflows.telemetry.guest")
    for name in ("creating", "processing", "publishing"):
        monkeypatch.delitem(sys.modules, f"microworkflows.telemetry.{name}")
        monkeypatch.delattr(f"microworkflows.telemetry.{name}")
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)

    with pytest.raises(ImproperlyConfigured, match=r'"django-microworkflows\[otel\]"'):
        apps.get_app_config("microworkflows_telemetry").ready()


def test_process_of_the_pool_sends_its_last_spans_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    provider = SimpleNamespace(force_flush=lambda: flushed.append(True))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    worker_process_shutdown.send(sender=None, pid=1, exitcode=0)

    assert flushed


@pytest.fixture
def _forgotten() -> Iterator[None]:
    attributes.of_broker.cache_clear()
    yield
    attributes.of_broker.cache_clear()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "amqps://rabbit.example:5671/shop",
            {"messaging.system": "rabbitmq", "server.address": "rabbit.example", "server.port": 5671},
        ),
        ("amqp://one.example;amqp://two.example", {"messaging.system": "rabbitmq"}),
        ("embedded:///tmp/queues", {"messaging.system": "embedded"}),
    ],
)
@pytest.mark.usefixtures("_forgotten")
def test_spans_name_the_broker(url: str, shown: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_app, "get", lambda: Celery(broker=url, set_as_current=False))

    assert attributes.of_broker() == shown
