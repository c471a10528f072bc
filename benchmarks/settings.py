"""The project's settings with one context for measuring, ``probe``, in place of the shop's four."""

import json
import os

from kombu import Queue

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as PROJECT_APPS

LEFT_OUT = {"orders", "payments", "inventory", "shipping", "microworkflows.journal"}
INSTALLED_APPS = [
    "benchmarks.probe",
    *(app for app in PROJECT_APPS if app not in LEFT_OUT),
    *(["microworkflows.journal"] if os.environ.get("BENCH_JOURNAL") else []),
]
ROOT_URLCONF = "benchmarks.settings"
urlpatterns: list[object] = []

CELERY_WORKER_CONCURRENCY = int(os.environ.get("WORKER_CONCURRENCY", "1"))
# As the kit sets it for its own workers: Celery would make a new connection to the database for each bare task.
CELERY_DB_REUSE_MAX = 1_000_000
# For the bare task, which is to have no cheaper queue than the events have.
CELERY_TASK_QUEUES = [Queue("bare", queue_arguments={"x-queue-type": "quorum"})]

# Four contexts in one app, so that several relays can be measured.
SILENCED_SYSTEM_CHECKS = ["microworkflows.E011"]
MICROWORKFLOWS = json.loads(os.environ.get("BENCH_MICROWORKFLOWS", "{}"))

if "BENCH_TRACES" in os.environ:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    INSTALLED_APPS = [*INSTALLED_APPS, "microworkflows.telemetry"]
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
