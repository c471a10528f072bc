"""Celery as the worker of microworkflows: ``setup(app)`` makes any Celery app consume CloudEvents."""

from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.signals import celeryd_init
from click import Option
from kombu import Exchange, Queue
from kombu.utils.functional import maybe_list

from microworkflows import celery_app, embedded, topology
from microworkflows.worker import connection_reuse
from microworkflows.worker.relay_process import RelayProcess
from microworkflows.worker.stopped import StoppedProcesses
from microworkflows.worker.watch import Watch

__all__ = ["setup"]

_HEARTBEAT_SECONDS = 10


def setup(app: Celery, *, tasks: Celery | None = None) -> None:
    """Make ``app``'s workers run microworkflows; call it once, where the app is made.

    A worker then consumes CloudEvents from the queues of the contexts that ``-Q`` names (of all contexts without
    ``-Q``), and runs their relay beside it unless it is started with ``--no-relay``. It notes every few seconds that it lives. Your own tasks, on queues of
    their own, run as before.

    Args:
        app: The Celery app whose broker carries the events.
        tasks: The Celery app of your own tasks, if they have another, say on a broker that cannot carry events. A
            ``shared_task`` that a microworkflow calls goes to its broker. That app's workers are not changed.
    """
    celery_app.note(app, tasks=tasks)
    app.amqp_cls = "microworkflows.worker.amqp:GuardedAMQP"
    embedded.register()
    app.on_after_configure.connect(_configure, weak=False)
    celeryd_init.connect(_declare_queues, weak=False)
    # The heartbeats have a table, so they are imported once Django is set up.
    app.steps["worker"].update(
        [RelayProcess, StoppedProcesses, Watch, "microworkflows.worker.heartbeats:Heartbeats"]
    )
    app.user_options["worker"].add(
        Option(
            ["--no-relay"], is_flag=True, help="Leave relaying to another worker, or to `manage.py relay`."
        )
    )
    app.user_options["worker"].add(
        Option(
            ["--alive"],
            metavar="FILE",
            help="Touch this file each second while the worker's loop goes round.",
        )
    )


def _configure(sender: Celery, **kwargs: object) -> None:
    _overrule(
        sender,
        worker_consumer="microworkflows.worker.consumer:EventConsumer",
        imports=(*(maybe_list(sender.conf.imports) or ()), "microworkflows.worker.tasks"),
        # Longest wait for a killed pool process before its message goes back: short, since the inbox removes duplicates.
        worker_lost_wait=min(sender.conf.worker_lost_wait, 1.0),
        # What time heals ends no worker: it connects again, however often, and after what closed its channel alone too.
        broker_connection_retry=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        # A broken link is noticed after two heartbeats without an answer.
        broker_heartbeat=min(sender.conf.broker_heartbeat or _HEARTBEAT_SECONDS, _HEARTBEAT_SECONDS),
    )
    if hasattr(sender.conf, "control_queue_exclusive"):
        # Celery 5.7's default locks a worker out that comes back before the broker has missed its old connection.
        _overrule(sender, control_queue_exclusive=False, control_queue_durable=True)
    sender.conf.setdefault("CELERY_DB_REUSE_MAX", connection_reuse.REUSE)


def _overrule(app: Any, **values: object) -> None:
    """Set these whatever the project has set: before 5.7, Celery reads a project's ``CELERY_IMPORTS`` first."""
    namespace: str | None = getattr(app, "namespace", None)
    for name, value in values.items():
        app.conf[name] = value
        if namespace and app.conf[name] is not value:
            full = f"{namespace}_{name}"
            app.conf[full.upper() if namespace.isupper() else full.lower()] = value


def _declare_queues(instance: Any, **kwargs: object) -> None:
    """Add the event queues to the project's own for the worker that starts; Django is set up by now."""
    app = instance.app
    if celery_app.is_apart(app):
        return
    own = [queue for queue in _own_queues(app) if queue.name not in topology.queues()]
    _overrule(app, task_queues=[*own, *map(_declared, topology.queues())])


def _own_queues(app: Celery) -> list[Queue]:
    """Return the project's own queues, which its settings may hold as a list or by name."""
    given = app.conf.task_queues or [_default_queue(app)]
    if isinstance(given, Mapping):
        given = [
            queue if isinstance(queue, Queue) else Queue.from_dict(name, **{"routing_key": name, **queue})
            for name, queue in given.items()
        ]
    return list(given)


def _declared(name: str) -> Any:
    """Return an event queue that Celery only consumes: its consumer has declared it, as far as its user may."""
    queue: Any = topology.queue(name)
    queue.no_declare = True
    return queue


def _default_queue(app: Celery) -> Queue:
    """Return the queue that Celery consumes if no queues are set; setting some must not take it away."""
    name = app.conf.task_default_queue
    exchange = Exchange(app.conf.task_default_exchange or name, type=app.conf.task_default_exchange_type)
    return Queue(name, exchange, routing_key=app.conf.task_default_routing_key or name)
