"""A frozen state that was restored, and how it is finished."""

import re
from collections.abc import Mapping
from functools import partial

from django.core.management import call_command

from microworkflows.models import OutboxEvent
from tests.integration.support.processes import Process
from tests.upgrade import books
from tests.upgrade.frozen import Frozen
from tests.upgrade.running import PATIENCE_SECONDS, Shop

_GIVEN_BACK_OFTEN = {"payments.take_payment": 1}
"""Version 0.1 parked a message at its 21st delivery. Today it is renewed before, unless it was seen to kill its process."""


class Restored:
    """A frozen state in the database that this process works on, and in a broker; the schema is today's."""

    def __init__(self, frozen: Frozen, shop: Shop) -> None:
        self.expected = frozen.expected
        self.shop = shop
        self._queues = frozen.queues
        frozen.restore(database=shop.database, broker=shop.broker)
        self._errors = books.errors()
        listed = shop.prepare()
        assert self.expected["dead letters"] == {
            queue: int(count) for count, queue in re.findall(r"(\d+)  (\w+\.dead)", listed) if int(count)
        }

    def worker(self) -> Process:
        """Start a worker of today's code for all queues."""
        return self.shop.worker(self._queues)

    def wait(self, *, parked: str = "parked") -> None:
        """Wait until nothing is left to do but to look after what is parked."""
        look = partial(
            books.left_to_do,
            self.shop.broker,
            self._queues,
            parked=self.expected[parked],
            renewed=_GIVEN_BACK_OFTEN,
        )
        books.wait_until_nothing_is_left(look)

    def finish(self, *, by: Process, ends: Mapping[str, str]) -> None:
        """Let a worker do what is left, replay what is parked, stop the worker, and look at the books.

        Args:
            by: The worker.
            ends: How each order ends, by its customer's name.
        """
        self.wait()
        assert self._errors
        assert self._errors.items() <= books.errors().items()
        for event_type, count in self.expected["unheard"].items():
            assert OutboxEvent.objects.unheard().of_type(event_type).count() == count

        call_command("replay", all=True, verbosity=0)
        self.wait(parked="parked for good")

        assert by.stop(timeout=PATIENCE_SECONDS) == 0, by.output
        books.assert_each_order_was_done_once(ends, stock=self.expected["stock"])
