"""System check of the problems: their tables have to be where the inbox is."""

from typing import Any

from django.core import checks
from django.db import router

from microworkflows.models import InboxEvent
from microworkflows.problems.models import ReplayedMessage


@checks.register
def check_database(app_configs: Any, **_: Any) -> list[checks.CheckMessage]:
    """Find a router that parts a replay from the messages that it replays: the two could not commit together."""
    here, inbox = router.db_for_write(ReplayedMessage), router.db_for_write(InboxEvent)
    if here == inbox:
        return []
    return [
        checks.Error(
            f"The tables of microworkflows.problems are in the database {here!r}, and the inbox is in {inbox!r}: a replay "
            "and its messages could not commit together.",
            hint="Let DATABASE_ROUTERS send microworkflows_problems to the database of django_outbox_pattern.",
            id="microworkflows.E067",
        )
    ]
