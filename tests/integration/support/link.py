"""A network link that can be unplugged: a veth pair into a network namespace, which drops packets without a word."""

import os
import shutil
import subprocess
from typing import Self

from project.processes import watchdog
from project.processes.servers import MissingServerError

_NOWHERE = "02:00:00:00:de:ad"


class Link:
    """Leads from here into a network namespace; use it as a context manager.

    Raises:
        MissingServerError: this user may not make network namespaces here.
    """

    def __init__(self) -> None:
        number = os.getpid()
        self._space, self._here, self._there = f"mw{number}", f"mwa{number}", f"mwb{number}"
        network = f"10.{200 + number % 50}.{number // 50 % 250}"
        self.here, self.there = f"{network}.1", f"{network}.2"

    def __enter__(self) -> Self:
        if shutil.which("ip") is None:
            raise MissingServerError("A network namespace", "iproute2 is not installed")
        watchdog.run("ip", "netns", "del", self._space)
        try:
            _ip("netns", "add", self._space)
            _ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self._space)
            _ip("address", "add", f"{self.here}/30", "dev", self._here)
            _ip("link", "set", self._here, "up")
            self._ip_there("address", "add", f"{self.there}/30", "dev", self._there)
            self._ip_there("link", "set", self._there, "up")
        except subprocess.CalledProcessError as error:
            self.__exit__()
            raise MissingServerError("A network namespace", error.stderr.decode().strip()) from error
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(
            ["ip", "netns", "del", self._space], capture_output=True, check=False
        )  # its link goes too

    def inside(self, *command: str) -> tuple[str, ...]:
        """Return the command that runs a command at the other end."""
        return ("ip", "netns", "exec", self._space, *command)

    def unplug(self) -> None:
        """Drop each packet, either way: they go to a machine that does not exist."""
        _ip("neighbour", "replace", self.there, "lladdr", _NOWHERE, "nud", "permanent", "dev", self._here)
        self._ip_there(
            "neighbour", "replace", self.here, "lladdr", _NOWHERE, "nud", "permanent", "dev", self._there
        )

    def plug_in(self) -> None:
        """Let packets through again."""
        _ip("neighbour", "delete", self.there, "dev", self._here)
        self._ip_there("neighbour", "delete", self.here, "dev", self._there)

    def _ip_there(self, *arguments: str) -> None:
        subprocess.run(self.inside("ip", *arguments), check=True, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
