"""Settings of the shop with the kit's guests installed: their tables are there, and a test names what is cut over.

A copy of the kit may come without one, as a guest's folder can be deleted.
"""

import os
from importlib.util import find_spec

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS, MICROWORKFLOWS

_OPTIONAL = [f"microworkflows.{name}" for name in ("bridging", "cutover", "journal", "problems", "telemetry")]
GUESTS = [name for name in _OPTIONAL if find_spec(name)]
INSTALLED_APPS = [*(app for app in INSTALLED_APPS if app not in _OPTIONAL), *GUESTS]
if "microworkflows.journal" not in GUESTS:
    MICROWORKFLOWS = {key: value for key, value in MICROWORKFLOWS.items() if not key.startswith("JOURNAL_")}

if zone := os.environ.get("TEST_TIME_ZONE"):  # of a project whose times have no zone
    USE_TZ, TIME_ZONE = False, zone
