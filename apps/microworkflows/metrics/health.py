"""Health: whether web, workers and relays can do their work, for the probes of whoever supervises them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from django.apps import apps
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from microworkflows import heartbeats
from microworkflows.metrics import database
from microworkflows.relay import seen
from microworkflows.relay.leadership import LEASE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Health:
    """The health of one queue's workers, or of one context's relays."""

    name: str
    """Label of the queue or the context."""
    ok: bool
    says: str


def missing_migrations() -> list[str]:
    """Return the last migrations of the kit, its guests and django-outbox-pattern that the database lacks."""
    applied = MigrationRecorder(connections[database.alias()]).applied_migrations()
    return [".".join(migration) for migration in _last_migrations() if migration not in applied]


@cache
def _last_migrations() -> list[tuple[str, str]]:
    ours = {app.label for app in apps.get_app_configs() if app.name.startswith("microworkflows")}
    leaves = MigrationLoader(None).graph.leaf_nodes()
    return [leaf for leaf in leaves if leaf[0] in {"django_outbox_pattern", *ours}]


def workers(queues: Sequence[str], *, host: str = "") -> list[Health]:
    """Return, for each queue, whether a worker serves it that is alive; on this host, if one is named."""
    found = [worker for worker in heartbeats.workers() if not host or worker.process.host == host]
    health = []
    for queue in queues:
        here = [worker for worker in found if worker.queue == queue]
        last = max(here, key=lambda worker: (worker.is_alive, worker.at), default=None)
        if last is None:
            says = "no worker was seen"
        elif last.is_alive:
            says = f"{last.process.worker} is alive, seen {last.age.total_seconds():.0f} s ago"
        elif last.stopped_at is not None:
            says = f"{last.process.worker} was stopped {last.age.total_seconds():.0f} s ago"
        else:
            says = f"{last.process.worker} was last seen {last.age.total_seconds():.0f} s ago"
        health.append(Health(name=queue, ok=last is not None and last.is_alive, says=says))
    return health


def relays(contexts: Sequence[str], *, host: str = "") -> list[Health]:
    """Return, for each context, whether a relay leads that is alive; on this host, if one is named, or stands by there."""
    found = seen.relays(connections[database.alias()], contexts)
    return [_of_relays(context, found[context], host) for context in contexts]


def _of_relays(context: str, relays: seen.Relays, host: str) -> Health:
    leader = relays.leader
    standing_by = [relay for relay in relays.standing_by if relay.is_on(host) and _lives(relay)]
    if host and standing_by and not (leader is not None and leader.is_on(host)):
        says = (
            f"{standing_by[0]} stands by; {leader} leads" if leader else f"{standing_by[0]} is to lead soon"
        )
        return Health(name=context, ok=True, says=says)
    if leader is None:
        return Health(name=context, ok=False, says="no relay leads")
    here = not host or leader.is_on(host)
    says = f"{leader} leads" if here else f"none is here; {leader} leads"
    return Health(name=context, ok=here and _lives(leader), says=says)


def _lives(relay: seen.Relay) -> bool:
    """Return False if it has shown no sign of life for so long that another may take over; who cannot be seen holds its lock."""
    return relay.silent is None or relay.silent <= LEASE_SECONDS
