"""Settings of the shop with the cut-over installed: its tables are there, and a test names what is cut over."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "microworkflows.cutover"]
