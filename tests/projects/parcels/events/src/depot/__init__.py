from depot.celery_app import app
from depot.events_app import app as events_app

__all__ = ["app", "events_app"]
