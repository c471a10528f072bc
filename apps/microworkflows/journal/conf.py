"""The journal's part of the dictionary ``MICROWORKFLOWS``."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from microworkflows import conf, registry
from microworkflows.conf import Count, Name, Section

Service = Annotated[str, Field(max_length=63)]
Webhook = Annotated[str, Field(pattern=r"^(https?://\S+)?$")]


class JournalSettings(Section):
    """The journal's settings."""

    journal_service: Service = ""
    """Name of this service in the journal; by default the labels of its contexts."""
    journal_collector: Service = ""
    """Label of the context whose service collects the notices of all services, the same in each of them; empty: this one."""
    journal_admin_url: str = ""
    """Address of this service's admin, such as `https://payments.example.com/admin/`, for links from another's journal."""
    journal_sources: Sequence[Name] = ()
    """Aliases in `DATABASES` of other services' databases, from whose tables lost notices are made good."""
    journal_retention_days: Count = 30
    """Age in days at which `purge_events` deletes flows from the journal."""
    journal_alert_mail: Sequence[Name] = ()
    """Addresses to which the watcher sends an e-mail about overdue flows, by Django's `EMAIL_…` settings."""
    journal_alert_webhook: Webhook = ""
    """Address to which it posts the same as JSON; empty: none."""


def current() -> JournalSettings:
    """Return the settings in force; raises as :func:`microworkflows.conf.read` does."""
    return conf.read(JournalSettings)


def collects() -> bool:
    """Return True if this service's relays collect the notices of all services into the journal's tables."""
    collector = current().journal_collector
    return not collector or collector in registry.contexts()


def service() -> str:
    """Return the name of this service in the journal."""
    return current().journal_service or ", ".join(registry.contexts())[:63]
