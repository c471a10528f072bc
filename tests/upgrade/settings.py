"""Settings of the shop as a monolith that hands its four contexts over, with legacy steps of payments."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as SHOP_AND_CUTOVER

INSTALLED_APPS = [*SHOP_AND_CUTOVER, "tests.upgrade.legacy_shop", "tests.earlier_shop.EarlierShopConfig"]
MICROWORKFLOWS = {"CUTOVER": ["orders", "payments", "inventory", "shipping"]}
