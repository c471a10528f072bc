"""The project's settings with two test contexts, ``probe`` and ``echo``, in place of the shop's four."""

import json
import os
from importlib.util import find_spec
from typing import Any

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as PROJECT_APPS

SHOP = {"orders", "payments", "inventory", "shipping"}
INSTALLED_APPS = [
    "tests.integration.probe",
    "tests.integration.echo",
    *(app for app in PROJECT_APPS if app not in SHOP),
    *(["microworkflows.problems"] if find_spec("microworkflows.problems") else []),
]

_given: dict[str, Any] = json.loads(os.environ.get("PROBE_SETTINGS", "{}"))
MICROWORKFLOWS = {"RETRY_DELAY": 0.2, **_given.pop("MICROWORKFLOWS", {})}
globals().update(_given)

if _reports := globals().get("PROBE_REPORTS"):
    from tests.integration.probe import reporting

    reporting.begin(_reports)
