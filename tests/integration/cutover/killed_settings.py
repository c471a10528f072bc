"""Settings of a monolith in which the mover is killed."""

from tests.integration.cutover.settings import *  # noqa: F403
from tests.integration.cutover.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.integration.cutover.killed.KilledConfig"]
