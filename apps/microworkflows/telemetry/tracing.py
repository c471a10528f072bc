"""The tracer of the kit's spans: that of the SDK which the project has set up, or one that makes none."""

from importlib import metadata

from opentelemetry import trace

from microworkflows.telemetry.conventions import SCHEMA_URL

tracer = trace.get_tracer(
    "microworkflows.telemetry", metadata.version("django-microworkflows"), schema_url=SCHEMA_URL
)
"""It may be made before the SDK is set up."""
