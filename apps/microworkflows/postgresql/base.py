"""The class that Django looks for in an engine."""

from django.db.backends.postgresql import base

from microworkflows.one_trip import OneTrip


class DatabaseWrapper(OneTrip, base.DatabaseWrapper):
    """Django's engine for PostgreSQL, recording in one trip."""
