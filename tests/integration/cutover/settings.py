"""Settings of a monolith, for the processes that the tests of the moves start."""

from tests.settings import *  # noqa: F403

MICROWORKFLOWS = {"CUTOVER": ["orders", "payments", "inventory", "shipping"], "RETRY_DELAY": 0.2}
