"""The project's settings with two test contexts, ``probe`` and ``echo``, in place of the shop's four.

The tests start hundreds of processes, so these look for no garbage while they load: that leaves none.
:mod:`~tests.integration.probe.apps` ends it.
"""

import gc
import json
import os
from typing import Any

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as PROJECT_APPS

gc.disable()

SHOP = {"orders", "payments", "inventory", "shipping"}
GUESTS = {"microworkflows.journal", "microworkflows.problems"}
"""Their own tests install them."""
INSTALLED_APPS = [
    "tests.integration.probe",
    "tests.integration.echo",
    *(app for app in PROJECT_APPS if app not in SHOP | GUESTS),
]

_given: dict[str, Any] = json.loads(os.environ.get("PROBE_SETTINGS", "{}"))
INSTALLED_APPS += _given.pop("GUESTS", [])
MICROWORKFLOWS = {"RETRY_DELAY": 0.2, **_given.pop("MICROWORKFLOWS", {})}
globals().update(_given)

if _reports := globals().get("PROBE_REPORTS"):
    from tests.integration.probe import reporting

    reporting.begin(_reports)
