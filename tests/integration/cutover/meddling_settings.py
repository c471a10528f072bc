"""Settings of a context's own database, in a project where a signal writes others' rows."""

from tests.integration.cutover.settings import *  # noqa: F403
from tests.integration.cutover.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.integration.cutover.meddling.MeddlingConfig"]
MICROWORKFLOWS = {"RETRY_DELAY": 0.2}
