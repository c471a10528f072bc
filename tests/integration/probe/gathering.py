"""A microworkflow of the probe that takes many; its process dies inside the first call with several, after they were written."""

import os
import signal
from collections.abc import Sequence

from microworkflows import microworkflow
from tests.integration.probe.behaviours import effect, leave_trace
from tests.integration.probe.events import Asked


@microworkflow(on=Asked, context="probe", many=True)
def gather(events: Sequence[Asked]) -> None:
    for event in events:
        effect("probe.gather", event)
    if len(events) > 1 and leave_trace(events[0]) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
