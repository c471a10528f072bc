from celery import Celery
from microworkflows import worker

from depot.celery_app import app as tasks

app = Celery("depot.events", set_as_current=False)
app.config_from_object("django.conf:settings", namespace="EVENTS")
worker.setup(app, tasks=tasks)
