"""The Django project that hosts the shop; importing it makes its Celery app the default one."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
