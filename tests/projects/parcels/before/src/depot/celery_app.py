import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "depot.settings")


def make_app():
    made = Celery("depot")
    made.config_from_object("django.conf:settings", namespace="CELERY")
    made.autodiscover_tasks()
    return made


app = make_app()
