"""The project as a Django app: brings the ``demo`` command."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Has no models."""

    name = "project"
    verbose_name = "Project"
