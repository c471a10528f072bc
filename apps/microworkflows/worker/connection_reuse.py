"""Connections to the database, which the kit's tasks keep, and of which the project's own tasks get a new one each.

Celery closes Django's connections before and after each task. The project's own tasks rely on that: a session that broke
fails one task at most. The kit's tasks look after theirs, and one for each event would cost too much.
"""

from celery import current_task

from microworkflows.worker.names import BUNDLE_TASK, TASK


class ReuseByTheKit(int):
    """Value of Celery's setting ``CELERY_DB_REUSE_MAX``: a large number for the kit's tasks, none for others.

    Celery reads the setting once, and asks around each task whether it is set.
    """

    def __bool__(self) -> bool:
        return bool(current_task) and current_task.name in {TASK, BUNDLE_TASK}


REUSE = ReuseByTheKit(1_000_000_000)
