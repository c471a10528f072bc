"""The archive's own process: its database is the default one, with outbox and inbox beside the deliveries."""

from depot.settings.base import *

INSTALLED_APPS = ["depot.archive", "depot.archiving", "django_outbox_pattern", "microworkflows"]
DATABASES = {"default": DATABASES["archive"]}
DATABASE_ROUTERS = []
ROOT_URLCONF = __name__  # it serves no pages
urlpatterns = []
