"""A process that is frozen, of the relay or of the pool, is replaced by its worker: nobody else may be there to do it."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher, exists, pool_of, relays_of
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.mark.slow
def test_frozen_processes_are_replaced_and_what_they_had_in_hand_is_done(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    """Both at once, for it takes half a minute."""
    file = tmp_path / "held"
    worker = launch.worker("probe,echo")
    (held,) = ask(behaviour="hold", file=str(file))
    eventually(file.exists)
    frozen = {int(file.read_text()), *relays_of(worker.pid)}
    assert len(frozen) == 2

    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    Path(f"{file}.go").touch()
    (meta,) = ask(start=1)

    worker.says("shows no sign of life and is killed", timeout=120)
    eventually(lambda: {str(held.id), str(meta.id)} <= set(effects()), what="both events")
    assert "has been stopped for 30 s and is killed; its messages come again" in worker.output
    assert frozen.isdisjoint({*pool_of(worker.pid), *relays_of(worker.pid)})
    assert not any(map(exists, frozen))
    assert worker.status is None
