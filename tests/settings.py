"""Settings of the shop with the kit's guests installed: their tables are there, and a test names what is cut over.

A copy of the kit may come without one, as a guest's folder can be deleted.
"""

import os
from importlib.util import find_spec

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

GUESTS = [
    name
    for name in (
        "microworkflows.cutover",
        "microworkflows.journal",
        "microworkflows.problems",
        "microworkflows.telemetry",
    )
    if find_spec(name)
]
INSTALLED_APPS = [*INSTALLED_APPS, *GUESTS]

if zone := os.environ.get("TEST_TIME_ZONE"):  # of a project whose times have no zone
    USE_TZ, TIME_ZONE = False, zone
