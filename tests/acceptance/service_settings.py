"""The settings of a service whose users at the broker have names of this run's own."""

import json
import os

from project.settings import *  # noqa: F403

MICROWORKFLOWS = {"USERS": json.loads(os.environ["BROKER_USERS"])}
