"""A RabbitMQ node of one's own: to be killed, stopped, starved of memory and frozen at will."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from project.processes import watchdog
from project.processes.process import Process, ProcessError, free_ports
from project.processes.servers import MissingServerError
from project.processes.waiting import eventually

# Debian's /usr/sbin/rabbitmq-server changes the user and knows one node only; the scripts behind it take any.
_SCRIPTS = [Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin")]
_START_SECONDS = 60.0


class Node:
    """One node with its own name, ports and data, and its own epmd, Erlang's server of names."""

    def __init__(self, folder: Path, *, plugins: Sequence[str] = (), configuration: str = "") -> None:
        """Configure it; nothing runs yet.

        Args:
            folder: An empty one, for all that it writes. It is removed if the run is killed.
            plugins: Names of those that are turned on.
            configuration: Lines that are added to its ``rabbitmq.conf``.

        Raises:
            MissingServerError: RabbitMQ is not installed here.
        """
        self._scripts = _find_scripts()
        self._folder = folder
        self._name = f"node_{watchdog.mark()}@localhost"
        self.port, distribution_port, names_port = free_ports(3)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\nmax_message_size = 100000\nlog.console = false\n"
            + configuration
        )
        (folder / "plugins").write_text(f"[{','.join(plugins)}].")
        (folder / "env").touch()  # in place of the machine's own, which may name another node
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
            "HOME": str(folder),  # for the Erlang cookie
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(names_port),
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._process: Process | None = None
        watchdog.remove(folder)

    @property
    def pid(self) -> int:
        """Id of its first process; Erlang's virtual machine is that, or a child of it."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Broker URL of its first virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start the node, with the data that it has.

        Raises:
            MissingServerError: it does not start.
        """
        self._process = Process(
            str(self._scripts / "rabbitmq-server"),
            environment=self._environment,
            log=self._folder / "rabbitmq.log",
            cwd=self._folder,
        )
        try:
            self._process.until(self._listens, what="it listened", timeout=_START_SECONDS)
            self.ctl("await_startup", "--timeout", f"{_START_SECONDS:.0f}")
        except (ProcessError, subprocess.SubprocessError) as error:
            self.kill()
            raise MissingServerError("RabbitMQ", f"a node of one's own did not start: {error}") from error

    def kill(self) -> None:
        """Kill -9 the whole node; when this returns, nothing listens there any more."""
        if self._process is not None:
            self._process.end(seconds=0, family_seconds=0)
            # A process that dies gives its memory back first, which takes a while, and its sockets last.
            eventually(
                lambda: not self._listens(""), timeout=_START_SECONDS, what="the node's port to be free"
            )

    def stop(self) -> None:
        """Stop the node as an administrator does."""
        assert self._process is not None
        self.ctl("stop")
        self._process.wait(timeout=_START_SECONDS)
        self.kill()  # its epmd is left

    def restart(self) -> None:
        """Kill -9 the node and start it again."""
        self.kill()
        self.start()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node; return its output."""
        return subprocess.run(  # noqa: S603  (own command)
            [self._scripts / "rabbitmqctl", "--quiet", "--node", self._name, *arguments],
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
        ).stdout

    def _listens(self, _: str) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False


def _find_scripts() -> Path:
    command = shutil.which("rabbitmq-server")
    for folder in [*_SCRIPTS, *([Path(command).resolve().parent] if command else [])]:
        if (folder / "rabbitmq-server").exists() and (folder / "rabbitmqctl").exists():
            return folder
    raise MissingServerError(
        "RabbitMQ", "its scripts are not installed here, so no node of its own can be started"
    )
