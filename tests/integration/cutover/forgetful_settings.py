"""Settings of a project whose CUTOVER names nobody any more."""

from tests import settings
from tests.integration.cutover.settings import *  # noqa: F403

MICROWORKFLOWS = settings.MICROWORKFLOWS
