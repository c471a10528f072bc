"""Settings of the shop with short waits: a message whose microworkflow is no more has all its attempts before it is parked."""

from project.settings import *  # noqa: F403
from project.settings import MICROWORKFLOWS as OF_THE_SHOP

MICROWORKFLOWS = {**OF_THE_SHOP, "RETRY_MAX_DELAY": 1.0}
