"""A relay's outages: how long it waits after an error, and what it says meanwhile, in calm single lines."""

import logging
import random
import time

from django.db import DatabaseError

from microworkflows import database_errors
from microworkflows.errors import BrokerUnavailableError

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 10.0
_REMINDER_SECONDS = 60.0


class Outage:
    """The broker or the database is away, or something unexpected fails; told at once, each minute, and at its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._cause: str | None = None
        self._failures = 0
        self._began_at = 0.0
        self._told_at = 0.0

    @property
    def of_broker(self) -> bool:
        """True while the relay waits for the broker."""
        return self._cause == "broker"

    def after(self, error: Exception) -> float:
        """Note an error and return the seconds to wait until the next try, growing and a little random."""
        now = time.monotonic()
        if not self._failures:
            self._began_at = now
        self._failures += 1
        longest = min(0.1 * 2.0 ** min(self._failures, 10), _LONGEST_WAIT_SECONDS)
        delay = longest * random.uniform(0.5, 1)  # noqa: S311  (no secret)
        reason = " ".join(str(error).split())
        if database_errors.is_not_migrated(error):
            reason += " (run: manage.py migrate)"
        away = (
            "broker"
            if isinstance(error, BrokerUnavailableError)
            else "database"
            if isinstance(error, DatabaseError)
            else None
        )
        cause = away or f"{type(error).__name__}: {reason}"
        is_new, self._cause = cause != self._cause, cause
        if is_new or now > self._told_at + _REMINDER_SECONDS:
            self._told_at = now
            self._tell(error if is_new else None, away=away, reason=reason)
        return delay

    def end(self) -> None:
        """Note that the relay serves again."""
        if self._failures:
            logger.info(
                "relay %s: goes on after %.1f s",
                *(self._name, time.monotonic() - self._began_at),
                extra={"context": self._name},
            )
        self._failures, self._cause = 0, None

    def _tell(self, error: Exception | None, *, away: str | None, reason: str) -> None:
        """Log what is the matter; ``error`` is None if it was logged already, with its traceback."""
        if away:
            logger.warning(
                "relay %s: waits for the %s and tries again every %d s at the latest, nothing is lost: %s",
                *(self._name, away, _LONGEST_WAIT_SECONDS, reason),
                extra={"context": self._name},
            )
        else:
            logger.log(
                logging.ERROR if error else logging.WARNING,
                "relay %s: begins anew after an unexpected error, every %d s at the latest, nothing is lost: %s",
                *(self._name, _LONGEST_WAIT_SECONDS, self._cause),
                exc_info=error,
                extra={"context": self._name},
            )
