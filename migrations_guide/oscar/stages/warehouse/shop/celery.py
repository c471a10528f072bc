import os

from celery import Celery
from microworkflows import worker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "microworkflows_settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
worker.setup(app)
