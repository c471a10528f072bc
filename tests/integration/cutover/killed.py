"""An app that lets ``split_database`` kill itself (SIGKILL) in a step: ``KILLED_IN=copy``, after ``KILLED_AFTER`` seconds or at its end."""

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from microworkflows.cutover.splitting.underway import Underway


class KilledConfig(AppConfig):
    """Arms the step."""

    name = "tests.integration.cutover"
    label = "killed"

    def ready(self) -> None:
        from microworkflows.cutover.splitting.move import STEPS
        from microworkflows.cutover.splitting.steps import MoveStep

        step = MoveStep(os.environ["KILLED_IN"])
        STEPS[step] = _killed_in(STEPS[step], float(os.environ["KILLED_AFTER"]))


def _killed_in(doing: "Callable[[Underway], None]", seconds: float) -> "Callable[[Underway], None]":
    def step(move: "Underway") -> None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        doing(move)
        os.kill(os.getpid(), signal.SIGKILL)

    step.__doc__ = doing.__doc__
    return step
