"""The project's settings with the journal, for measuring its pages."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as PROJECT_APPS

_JOURNAL = "microworkflows.journal"
INSTALLED_APPS = [*PROJECT_APPS, *([] if _JOURNAL in PROJECT_APPS else [_JOURNAL])]
