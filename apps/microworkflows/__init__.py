"""Microworkflows: events through a transactional outbox and inbox, one Celery worker per bounded context."""

from microworkflows.breaking import Breaker
from microworkflows.deadlines import deadline
from microworkflows.errors import PermanentError, RetryAfter
from microworkflows.events import DomainEvent, IncomingEvent, Metadata
from microworkflows.limits import Limits
from microworkflows.retrying import Retry
from microworkflows.sensitive import Personal, Sensitive
from microworkflows.subjects import Subject
from microworkflows.timers import Later
from microworkflows.workflows import microworkflow

# ``outbox`` is a submodule, which `from microworkflows import outbox` imports once Django has loaded its apps.
__all__ = [
    "Breaker",
    "DomainEvent",
    "IncomingEvent",
    "Later",
    "Limits",
    "Metadata",
    "PermanentError",
    "Personal",
    "Retry",
    "RetryAfter",
    "Sensitive",
    "Subject",
    "deadline",
    "microworkflow",
    "outbox",
]
