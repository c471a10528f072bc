"""Settings of a context's own database, in a project where a signal writes others' rows."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.integration.cutover.meddling.MeddlingConfig"]
MICROWORKFLOWS = {"RETRY_DELAY": 0.2}
