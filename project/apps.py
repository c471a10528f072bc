"""The project as a Django app: brings the ``demo`` command."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProjectConfig(AppConfig):
    """Has no models."""

    name = "project"
    verbose_name = _("Project")
