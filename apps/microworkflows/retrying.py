"""Retrying: how often, and after which waits, a microworkflow tries an event again."""

import random
from dataclasses import dataclass
from datetime import timedelta

from pydantic import ValidationError

from microworkflows import conf, registry
from microworkflows.errors import RetryAfter


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How a microworkflow is retried: ``@microworkflow(on=..., retry=Retry(max_attempts=3))``. What is left out is as set for all.

    Raises:
        ValueError: a value is out of range.
    """

    max_attempts: int | None = None
    """Attempts on one event before its message is parked; by default ``MAX_ATTEMPTS``."""
    delay: float | None = None
    """Seconds before the second attempt; each further delay is twice as long, less a random part. By default ``RETRY_DELAY``."""
    max_delay: float | None = None
    """Longest delay in seconds; by default ``RETRY_MAX_DELAY``."""

    def __post_init__(self) -> None:
        """Refuse what the settings would refuse."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        fields = {"max_attempts": "max_attempts", "delay": "retry_delay", "max_delay": "retry_max_delay"}
        try:
            conf.Settings(**{fields[name]: value for name, value in given.items()})
        except ValidationError as error:
            problem = error.errors()[0]
            name = next(name for name in fields if fields[name] == problem["loc"][0])
            raise ValueError(f"Retry({name}={given[name]!r}): {problem['msg']}.") from error


_AS_SET = Retry()


def max_attempts(consumer: str) -> int:
    """Return the number of attempts after which a consumer's message is parked."""
    return _policy(consumer).max_attempts or conf.current().max_attempts


def delay(attempts: int, *, consumer: str = "", error: BaseException | None = None) -> timedelta:
    """Return the wait after a number of attempts: exponential backoff with jitter, or what the error asks for.

    Args:
        attempts: Number of failed attempts, from 1.
        consumer: Label of the microworkflow, whose policy counts; none, as set for all.
        error: The last attempt's. A :class:`~microworkflows.errors.RetryAfter` is waited for, and up to a tenth longer, so that
            those who were sent away together do not come back together.
    """
    if isinstance(error, RetryAfter):
        return error.wait * random.uniform(1.0, 1.1)  # noqa: S311  (no secret)
    policy, settings = _policy(consumer), conf.current()
    shortest, longest = policy.delay or settings.retry_delay, policy.max_delay or settings.retry_max_delay
    seconds = min(shortest * 2 ** min(attempts - 1, 32), longest)
    return timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)


def _policy(consumer: str) -> Retry:
    workflow = registry.workflow(consumer)
    return (workflow and workflow.retry) or _AS_SET
