import os

from celery import Celery
from microworkflows import worker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kiosk.settings")

app = Celery("kiosk")
worker.setup(app)
