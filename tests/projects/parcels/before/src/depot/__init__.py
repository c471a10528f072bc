from depot.celery_app import app

__all__ = ["app"]
