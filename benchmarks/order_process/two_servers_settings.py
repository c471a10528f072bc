"""Settings of a customer of a shop on two database servers, who looks into both; each worker knows its own alone."""

import os
from typing import Any

import dj_database_url

from project.settings import *  # noqa: F403
from project.settings import DATABASES

DATABASES["second"] = DATABASES["default"] | dj_database_url.parse(os.environ["SECOND_DATABASE_URL"])


class Router:
    """The way to the tables of inventory and shipping."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """Name the second server, or leave it to the default."""
        return "second" if model._meta.app_label in {"inventory", "shipping"} else None

    db_for_write = db_for_read


DATABASE_ROUTERS = [Router()]
