"""Settings of a monolith, for the processes that the tests of the moves start."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.earlier_shop.EarlierShopConfig"]
MICROWORKFLOWS = {"CUTOVER": ["orders", "payments", "inventory", "shipping"], "RETRY_DELAY": 0.2}
