"""System check of the bridging: its marks have to be where the outbox is."""

from typing import Any

from django.core import checks
from django.db import router

from microworkflows.bridging.models import Bootstrapped
from microworkflows.models import OutboxEvent


@checks.register
def check_database(app_configs: Any, **_: Any) -> list[checks.CheckMessage]:
    """Find a router that parts an event of the past from the mark that it was recorded: the two could not commit together."""
    here, outbox = router.db_for_write(Bootstrapped), router.db_for_write(OutboxEvent)
    if here == outbox:
        return []
    return [
        checks.Error(
            f"The table of microworkflows.bridging is in the database {here!r}, and the outbox is in {outbox!r}: what was recorded "
            "by `manage.py bootstrap`, and the mark that it was, could not commit together.",
            hint="Let DATABASE_ROUTERS send microworkflows_bridging to the database of django_outbox_pattern.",
            id="microworkflows.E068",
        )
    ]
