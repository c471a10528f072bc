"""Says what it was measured on: the machine, the versions, the servers and how busy all was."""

import os
import platform
import shutil
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import kombu
import psycopg

Fact = str | int | float
Facts = dict[str, Fact]

LIBRARIES = ("Django", "Celery", "Kombu", "amqp", "psycopg")
POSTGRES_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size")
"""What decides how long a commit takes, and how often others wait for a checkpoint."""
COMMITS = 50


def facts(*, database_url: str, broker_url: str) -> Facts:
    """Return what is known of the machine and of the servers at these URLs, by name."""
    return {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC",
        **_commit(Path(__file__).parent),
        "cores": len(os.sched_getaffinity(0)),
        "CPU": _cpu(),
        "memory, GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{{"amqp": "py-amqp"}.get(name, name): version(name) for name in LIBRARIES},
        **_postgres(database_url),
        "RabbitMQ": _rabbitmq(broker_url),
    }


def load() -> float:
    """Return how many processes wanted to run, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _commit(folder: Path) -> Facts:
    git = shutil.which("git")
    if git is None:
        return {}

    def ask(*question: str) -> str:
        answer = subprocess.run([git, *question], cwd=folder, capture_output=True, text=True, check=False)
        return answer.stdout.strip()

    if not (commit := ask("rev-parse", "--short=12", "HEAD")):
        return {}
    return {"commit": commit, "changed since": "yes" if ask("status", "--porcelain") else "no"}


def _postgres(url: str) -> Facts:
    with psycopg.connect(url, autocommit=True) as connection:
        asked = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)",
            [["server_version", "data_directory", *POSTGRES_SETTINGS]],
        )
        said: dict[str, str] = dict(asked.fetchall())
        commits = [_seconds_of_a_commit(connection) for _ in range(COMMITS)]
    found: Facts = {"PostgreSQL": said["server_version"].split()[0]}
    found |= {f"PostgreSQL's {name}": said[name] for name in POSTGRES_SETTINGS}
    # The folder is left out for a user who may not see it, and may be on another machine.
    folder = Path(said.get("data_directory") or "/nowhere")
    if os.access(folder, os.F_OK) and (kind := _disk(folder)):
        found["disk"] = kind
    return found | {"a small commit, ms": round(median(commits) * 1000, 2)}


def _seconds_of_a_commit(connection: psycopg.Connection) -> float:
    begun = time.perf_counter()
    connection.execute("SELECT pg_logical_emit_message(true, 'benchmark', '')")  # has to be flushed
    return time.perf_counter() - begun


def _disk(path: Path) -> str | None:
    """Return the kind of disk that a folder is on, or None where the kernel does not tell."""
    device = path.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    if block.name.startswith(("vd", "xvd")):
        return "virtual"
    for queue in (block / "queue", block.parent / "queue"):  # a partition has its disk's
        if (rotational := queue / "rotational").exists():
            return "rotating" if rotational.read_text().strip() == "1" else "solid state"
    return None


def _rabbitmq(url: str) -> str:
    with kombu.Connection(url) as connection:
        return str(connection.connection.server_properties["version"])
