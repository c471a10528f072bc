"""Workers, relays and recorders as processes of their own, started by the commands that people type."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from project.processes.process import Process, end
from project.processes.tree import children, command, exists, state

__all__ = [
    "Launcher",
    "Process",
    "children",
    "command",
    "exists",
    "pause",
    "pool_of",
    "pool_stopped",
    "relays_of",
    "state",
]

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = "tests.integration.settings"


class Launcher:
    """Starts processes on one database and one broker, and ends them all."""

    def __init__(self, folder: Path, *, database: str, broker: str, **settings: Any) -> None:
        self.folder = folder
        self._started: list[Process] = []
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "DATABASE_URL": database,
            "BROKER_URL": broker,
        }
        self._settings = settings

    def start(self, *command: str, environment: Mapping[str, str] | None = None, **settings: Any) -> Process:
        """Start a command; ``settings`` replace or extend the Django settings of that process."""
        merged = {**self._settings, **settings}
        merged["MICROWORKFLOWS"] = {
            **self._settings.get("MICROWORKFLOWS", {}),
            **settings.get("MICROWORKFLOWS", {}),
        }
        process = Process(
            *command,
            environment={**self._environment, "PROBE_SETTINGS": json.dumps(merged), **(environment or {})},
            log=self.folder / f"{len(self._started)}.log",
            cwd=ROOT,
        )
        self._started.append(process)
        return process

    def worker(
        self,
        queues: str = "probe",
        *options: str,
        app: str = "project",
        name: str = "",
        wait: bool = True,
        **settings: Any,
    ) -> Process:
        """Start ``celery -A project worker -Q …`` and wait until it is ready."""
        celery = str(Path(sys.executable).with_name("celery"))
        name = name or f"{queues.partition(',')[0]}{len(self._started)}"
        if not any(option.startswith(("-c", "--concurrency")) for option in options):
            options = ("-c", "1", *options)
        worker = self.start(
            *(celery, "-A", app, "worker", "-Q", queues, "-n", f"{name}@%h", *options), **settings
        )
        if wait:
            worker.says(" ready.")
        return worker

    def relay(self, *contexts: str, wait: bool = True, **settings: Any) -> Process:
        """Start ``manage.py relay`` and wait until it leads."""
        relay = self.manage("relay", *(contexts or ("probe",)), **settings)
        if wait:
            relay.says(": leads")
        return relay

    def manage(self, *arguments: str, **settings: Any) -> Process:
        """Start a management command."""
        return self.start(sys.executable, "-m", "django", *arguments, **settings)

    def run(self, *arguments: str, **settings: Any) -> str:
        """Run a management command to its end; return what it wrote, the log on stderr included."""
        process = self.manage(*arguments, **settings)
        assert process.wait(timeout=60) == 0, process.output
        return process.output

    def stop(self) -> None:
        """Stop all that still runs, as a supervisor does."""
        running = [process for process in self._started if process.status is None]
        for process in running:
            process.send(signal.SIGTERM)
        for process in running:
            assert process.wait() == 0, process.output

    def end(self) -> None:
        """End all that still runs, at once. A worker is killed: to stop takes Celery two seconds. Its relay sees to itself."""
        workers = [process for process in self._started if relays_of(process.pid)]
        end(workers, seconds=0)
        end([process for process in self._started if process not in workers])


def relays_of(pid: int) -> list[int]:
    """Return the ids of a worker's relay processes (there should be one)."""
    return [child for child in children(pid) if "django relay" in command(child)]


def pool_of(pid: int) -> list[int]:
    """Return the ids of a worker's pool processes."""
    return [child for child in children(pid) if exists(child) and child not in relays_of(pid)]


@contextmanager
def pool_stopped(worker: int) -> Iterator[None]:
    """Stop the processes of a worker's pool for the block, those included that it starts in place of one stopped for long."""
    over = threading.Event()

    def keep_stopped() -> None:
        while not over.wait(0.1):
            _signal_pool(worker, signal.SIGSTOP)

    assert pool_of(worker), f"the worker {worker} has no pool that could be stopped"
    _signal_pool(worker, signal.SIGSTOP)
    keeper = threading.Thread(target=keep_stopped, name="keeps a pool stopped", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        _signal_pool(worker, signal.SIGCONT)


def _signal_pool(worker: int, number: signal.Signals) -> None:
    """Send a signal to each process of a worker's pool that there is."""
    for pid in pool_of(worker):
        with suppress(ProcessLookupError):  # the worker replaced it meanwhile
            os.kill(pid, number)


def pause(seconds: float) -> None:
    """Let time pass where the test is about time itself."""
    time.sleep(seconds)
