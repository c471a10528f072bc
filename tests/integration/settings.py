"""The project's settings with two test contexts, ``probe`` and ``echo``, in place of the shop's four."""

import json
import os
from typing import Any

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as PROJECT_APPS

LEFT_OUT = {"orders", "payments", "inventory", "shipping", "microworkflows.journal"}
"""The shop's contexts, and the journal, which its own tests install."""
INSTALLED_APPS = [
    "tests.integration.probe",
    "tests.integration.echo",
    *(app for app in PROJECT_APPS if app not in LEFT_OUT),
]

_given: dict[str, Any] = json.loads(os.environ.get("PROBE_SETTINGS", "{}"))
MICROWORKFLOWS = {"RETRY_DELAY": 0.2, **_given.pop("MICROWORKFLOWS", {})}
globals().update(_given)

if _reports := globals().get("PROBE_REPORTS"):
    from tests.integration.probe import reporting

    reporting.begin(_reports)
