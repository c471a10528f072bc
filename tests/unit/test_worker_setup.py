"""What the kit sets in a Celery app holds beside what the project sets, by any name and with every Celery."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from microworkflows import topology, worker
from microworkflows.worker.names import BUNDLE_TASK, TASK


class Upper:
    """A project's settings in Django's style."""

    CELERY_IMPORTS = ["project.own"]
    CELERY_ACCEPT_CONTENT = ["json", "yaml"]
    CELERY_WORKER_LOST_WAIT = 30.0
    CELERY_TASK_QUEUES = [Queue("own")]


class Lower:
    """The same settings by Celery's own names."""

    imports = ["project.own"]
    accept_content = ["json", "yaml"]
    worker_lost_wait = 30.0
    task_queues = [Queue("own")]


@pytest.fixture(params=[(Upper, "CELERY"), (Lower, None)], ids=["namespace", "plain"])
def app(request: pytest.FixtureRequest) -> Celery:
    made = Celery("own", set_as_current=False)
    settings, namespace = request.param
    made.config_from_object(settings, namespace=namespace)
    worker.setup(made)
    return made


def test_projects_own_settings_are_kept_and_ours_are_added(app: Celery) -> None:
    assert app.conf.worker_consumer == "microworkflows.worker.consumer:EventConsumer"
    assert list(app.conf.imports) == ["project.own", "microworkflows.worker.tasks"]
    assert app.conf.accept_content == ["json", "yaml"]
    assert app.conf.worker_lost_wait == 1.0


def test_worker_waits_for_its_broker_for_ever_and_shares_its_control_queue(app: Celery) -> None:
    assert app.conf.broker_connection_max_retries is None
    assert app.conf.broker_connection_retry is True
    assert app.conf.broker_channel_error_retry is True
    assert app.conf.broker_heartbeat == 10
    control: Any = app.control
    mailbox = control.mailbox
    assert not getattr(mailbox, "queue_exclusive", False)


def test_worker_consumes_the_projects_own_queues_and_ours(app: Celery) -> None:
    worker._declare_queues(SimpleNamespace(app=app))

    assert [queue.name for queue in app.conf.task_queues] == ["own", *topology.queues()]


def test_queues_by_name_and_one_import_are_taken_as_celery_takes_them() -> None:
    app = Celery("own", set_as_current=False)
    app.conf.imports = "project.own"
    app.conf.task_queues = {
        "mails": {"exchange": "mails"},
        "sms": Queue("sms"),
        "orders": {"exchange": "orders"},
    }
    worker.setup(app)

    assert list(app.conf.imports) == ["project.own", "microworkflows.worker.tasks"]
    worker._declare_queues(SimpleNamespace(app=app))

    assert [queue.name for queue in app.conf.task_queues] == ["mails", "sms", *topology.queues()]
    assert app.conf.task_queues[0].exchange.name == app.conf.task_queues[0].routing_key == "mails"


def test_annotations_for_all_tasks_leave_the_kits_as_they_are() -> None:
    app = Celery("own", set_as_current=False)
    app.conf.task_annotations = {"*": {"acks_late": False, "rate_limit": "1/h"}}
    worker.setup(app)

    @app.task(name="own.task")
    def own() -> None: ...

    app.loader.import_module("microworkflows.worker.tasks")
    app.finalize()

    for name in (TASK, BUNDLE_TASK):
        assert (app.tasks[name].acks_late, app.tasks[name].rate_limit) == (True, None)
    assert (own.acks_late, own.rate_limit) == (False, "1/h")
