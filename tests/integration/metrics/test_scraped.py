"""A web server that is scraped by HTTP, with a real worker, relay and broker: what it says when the worker is killed."""

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from django.utils import timezone
from django_outbox_pattern.models import Published, Received

from microworkflows import times
from microworkflows.metrics.models import Tally
from microworkflows.models import Heartbeat
from project.processes.process import free_ports
from tests.architecture.files import ROOT
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.slow]

Page = dict[str, float]


@pytest.fixture
def scrape(launch: Launcher) -> Callable[[], Page]:
    """Return what asks a web server for its metrics: values by the sample's name and labels, as they are written."""
    (port,) = free_ports(1)
    site = f"http://127.0.0.1:{port}"
    command = ["-m", "gunicorn", "project.wsgi", f"--bind=127.0.0.1:{port}", "--no-control-socket"]
    server = launch.start(sys.executable, *command, ROOT_URLCONF="microworkflows.metrics.urls")

    def fetch(page: str) -> str:
        try:
            with urllib.request.urlopen(f"{site}/{page}", timeout=20) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError:  # not ready
            return ""

    def read() -> Page:
        """Return the metrics once every part could be read, which on a busy machine may take a second try."""
        found = re.findall(r"^(\w+\{.*\}) (\S+)$", fetch("metrics"), re.MULTILINE)
        page = {name: float(value) for name, value in found}
        return {} if any(value for name, value in page.items() if "scrape_error" in name) else page

    server.says("Listening at")
    eventually(lambda: fetch("ready") == "ok\n", what="a web server that is ready")
    return lambda: eventually(read, what="metrics of every part")


def sample(name: str, **labels: str) -> str:
    pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"microworkflows_{name}{{{pairs}}}"


def test_worker_that_is_killed_is_told_by_the_metrics_the_alert_and_the_command(
    launch: Launcher, broker: Broker, scrape: Callable[[], Page], tmp_path: Path, promtool: str
) -> None:
    worker = launch.worker("probe,echo", name="both")
    ask(5)
    eventually(lambda: len(effects()) == 5, what="five effects")
    alive = sample("workers", queue="probe", state="alive")

    eventually(lambda: scrape().get(alive) == 1, what="a worker that is seen alive")

    page = scrape()

    assert page[sample("relay_leads", context="probe")] == 1
    assert page[sample("relay_leader_silent_seconds", context="probe")] < 30
    assert page[sample("relays_standing_by", context="probe")] == 0
    assert page[sample("queue_consumers", queue="probe")] == 1
    assert page[sample("dead_letters", queue="probe")] == 0
    assert {value for name, value in page.items() if "scrape_error" in name} == {0}
    assert launch.manage("health", "worker", "probe", "echo", "--here").wait() == 0
    assert launch.manage("health", "relay", "probe", "echo", "--here").wait() == 0

    # Time passes: the rows of this test are counted, and the killed worker's heartbeat is old.
    worker.kill()
    eventually(
        lambda: scrape()[sample("relay_leads", context="probe")] == 0, what="the end of the worker's relay"
    )
    broker.publish(json.dumps({"id": "waits"}), times=3)
    eventually(
        lambda: scrape()[sample("queue_messages", queue="probe")] == 3, what="three messages that wait"
    )
    Heartbeat.objects.update(seen_at=times.stored(timezone.now() - timedelta(seconds=30)))

    page = scrape()

    assert page[alive] == 0
    assert page[sample("workers", queue="probe", state="silent")] == 1
    assert page[sample("heartbeat_age_seconds", queue="probe")] >= 30
    assert page[sample("queue_consumers", queue="probe")] == 0
    died = launch.manage("health", "worker", "probe", "--here")
    assert died.wait() == 1
    assert "worker: probe: both@" in died.output
    assert "was last seen 3" in died.output
    assert launch.manage("health", "relay", "probe").wait() == 1
    assert raised(page, tmp_path, promtool, launch) >= {
        "MicroworkflowsNoWorker",
        "MicroworkflowsWorkerSilent",
    }


def raised(page: Page, folder: Path, promtool: str, launch: Launcher) -> set[str]:
    """Return the alerts that Prometheus raises after two minutes of such a page."""
    names = ["MicroworkflowsNoWorker", "MicroworkflowsWorkerSilent", "MicroworkflowsDeadLetters"]
    found = set()
    for name in names:
        series = [{"series": each, "values": f"{value}x10"} for each, value in page.items()]
        expected = [{"eval_time": "2m", "alertname": name, "exp_alerts": []}]
        case = {"interval": "15s", "input_series": series, "alert_rule_test": expected}
        tests = {"rule_files": [str(ROOT / "deploy/prometheus/alerts.yml")], "tests": [case]}
        (folder / f"{name}.yml").write_text(yaml.safe_dump(tests))
        checked = launch.start(promtool, "test", "rules", str(folder / f"{name}.yml"))
        if checked.wait() != 0:
            assert f"alertname: {name}" in checked.output or f'alertname="{name}"' in checked.output, (
                checked.output
            )
            found.add(name)
    return found


def test_hops_of_real_messages_are_counted_by_microworkflow(
    launch: Launcher, broker: Broker, scrape: Callable[[], Page]
) -> None:
    scrape()  # counting begins
    Tally.objects.update(upto=times.stored(timezone.now() - timedelta(hours=1)))
    launch.worker("probe,echo", name="both")
    ask(5)
    eventually(lambda: len(effects()) == 5, what="five effects")
    # As though they had come a while ago.
    for table in (Published, Received):
        for row in table.objects.all():
            table.objects.filter(pk=row.pk).update(added=row.added - timedelta(minutes=2))

    page = scrape()

    handled = {
        name: value for name, value in page.items() if "received_total" in name and 'status="handled"' in name
    }
    assert sum(handled.values()) >= 5
    assert (
        sum(value for name, value in page.items() if "events_recorded_total" in name and "relayed" in name)
        >= 5
    )


def test_relay_by_hand_touches_its_file_while_it_lives(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "alive"
    relay = launch.relay("probe", "--alive", str(file))

    first = file.stat().st_mtime
    eventually(lambda: file.stat().st_mtime > first, what="another touch")

    relay.kill()
