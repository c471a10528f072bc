"""The relay's machine falls off the network: packets are dropped, and nobody closes a connection."""

import sys

import pytest

from tests.integration.support.brokers import Broker
from tests.integration.support.link import Link
from tests.integration.support.processes import Launcher

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos, pytest.mark.slow]


def test_leader_off_the_network_loses_the_lead_says_what_it_waits_for_and_stands_by_once_it_is_back(
    launch: Launcher, broker: Broker, link: Link, server: str
) -> None:
    database = {"DATABASE_URL": server}
    launch.start(sys.executable, "-m", "django", "migrate", environment=database).wait(timeout=60)
    leader = launch.start(
        *link.inside(sys.executable, "-m", "django", "relay", "probe"),
        environment={**database, "BROKER_URL": f"amqp://{link.here}:9//"},
    )
    leader.says("relay probe: leads")
    standby = launch.start(sys.executable, "-m", "django", "relay", "probe", environment=database)
    standby.says(f"relay probe: stands by; process {leader.pid} on ")

    link.unplug()

    standby.says("relay probe: leads", timeout=90)
    leader.says("relay probe: waits for the database and tries again every 10 s at the latest", timeout=90)
    record = ("probe_record", "one", "--count", "20")
    launch.start(sys.executable, "-m", "django", *record, environment=database).wait(timeout=60)
    arrived = broker.take("echo", 20)
    link.plug_in()
    leader.says(f"relay probe: stands by; process {standby.pid} on ", timeout=90)
    assert len(arrived) == 20
    assert "Traceback" not in leader.output
    assert leader.output.count("waits for the database") == 1
