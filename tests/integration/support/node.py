"""A RabbitMQ node of the tests' own: to be killed, stopped, starved of memory and frozen at will."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.integration.support.waiting import eventually
from tests.servers import RUN, MissingServerError

# Debian's /usr/sbin/rabbitmq-server changes the user and knows one node only; the scripts behind it take any.
_SCRIPTS = [Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin")]


class Node:
    """One node with its own name, ports and data, as far from the machine's other nodes as can be."""

    def __init__(self, folder: Path, *, plugins: Sequence[str] = (), configuration: str = "") -> None:
        self._scripts = _find_scripts()
        self._folder = folder
        self._name = f"{RUN}@localhost"
        self.port, distribution_port = free_ports(2)
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
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start the node, with the data that it has.

        Raises:
            MissingServerError: it does not start.
        """
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [self._scripts / "rabbitmq-server"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            eventually(self._listens, timeout=60, every=0.1)
            self.ctl("await_startup", "--timeout", "60")
        except (AssertionError, subprocess.SubprocessError) as error:
            self.kill()
            end = (self._folder / "output").read_text(errors="replace")[-500:]
            raise MissingServerError("RabbitMQ", f"a node of the tests' own did not start: {end}") from error

    def kill(self) -> None:
        """Kill -9 the whole node."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            eventually(self._is_gone, timeout=10)

    def stop(self) -> None:
        """Stop the node as an administrator does."""
        assert self._process is not None
        self.ctl("stop")
        self._process.wait(60)
        eventually(self._is_gone, timeout=10)

    def restart(self) -> None:
        """Kill -9 the node and start it again."""
        self.kill()
        self.start()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node; return its output."""
        return subprocess.run(
            [self._scripts / "rabbitmqctl", "--quiet", "--node", self._name, *arguments],
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def _is_gone(self) -> bool:
        """Tell whether epmd, Erlang's name server, has forgotten the node, so that it can start again."""
        with socket.create_connection(("127.0.0.1", 4369), timeout=5) as epmd:
            epmd.sendall(b"\x00\x01n")  # asks for all names; the answer ends with the connection
            return RUN.encode() not in b"".join(iter(lambda: epmd.recv(4096), b""))

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError("it ended")
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


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
