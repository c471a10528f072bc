"""A reader who follows the pages of the tutorial word by word, in a folder and a virtual environment of its own."""

import html
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

from project.processes.process import Process, end, free_ports
from tests.architecture.files import ROOT
from tests.integration.support.waiting import eventually

_PARTS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PASSWORD = "a room with a view"
_SCRIPTS = {
    "django-admin": "django.core.management:execute_from_command_line",
    "celery": "celery.__main__:main",
}
_SCRIPT = """#!{python}
from {module} import {function}
{function}()
"""


class Reader:
    """Writes each file, runs each command, does what the text asks for in the browser, and compares what it sees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.did: list[str] = []
        """The phrases of the text that asked for something in the browser, in order."""
        self._environment = {
            name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ
        }
        self._environment["PATH"] = f"{folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
        # What pip would download, the run's own environment has: its packages are in sight of the new one.
        self._environment |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
        self._environment["DJANGO_SUPERUSER_PASSWORD"] = _PASSWORD
        self._running: dict[str, Process] = {}
        self._said = ""
        self._marks: dict[str, int] = {}
        (port,) = free_ports(1)
        self.desk = Desk(f"http://127.0.0.1:{port}")

    def set(self, environment: Mapping[str, str]) -> None:
        """Set variables of the environment for the commands that follow."""
        self._environment |= environment

    def follow(self, page: Path, actions: "Mapping[str, Callable[[Desk], str | None]]") -> None:
        """Follow a page from its first line to its last.

        ``actions`` says what a phrase of the text means, in the browser. What the paragraph has in italics is on the page that
        an action returns, sooner or later.
        """
        after = ""
        for paragraph, language, block in _parts(page.read_text()):
            for sentence in paragraph.split("\n\n"):
                self._act(sentence, actions)
            if language == "sh":
                self._mark()
                self._said = ""
                for line in block.splitlines():
                    self._run(line)
            elif language == "text":
                for line in block.splitlines():
                    self._see(line, after=after)
            elif language not in ("", "mermaid"):
                self._write(block)
            after = block if language == "sh" else after

    def close(self) -> None:
        """End all that runs."""
        end(list(self._running.values()))
        self._running.clear()

    def _write(self, block: str) -> None:
        heading, _, text = block.partition("\n")
        name, _, where = heading.removeprefix("# ").partition(", ")
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        if where.startswith("in place of "):
            old = path.read_text()
            assert old.count(f"{where.removeprefix('in place of ')}\n") == 1, heading
            path.write_text(old.replace(f"{where.removeprefix('in place of ')}\n", text))
            return
        assert where in {"", "at the end"}, heading
        with path.open("a" if where else "w") as file:
            file.write(text)

    def _run(self, line: str) -> None:
        """Run a command to its end, or leave it running if it is to run on."""
        if line == "python -m venv .venv":
            self._make_environment()
        elif line == ". .venv/bin/activate" or (line.startswith("python -m pip ") and "honcho" in line):
            pass  # the path begins with it; the kit is installed already, and the lines of the Procfile are run here
        elif line.startswith("celery "):
            self._start("worker", line)
        elif line == "python manage.py runserver":
            self._start("web", f"{line} {self.desk.port}")
            eventually(self.desk.is_open, what="the web server answers")
        elif line == "honcho start":
            self._start_procfile()
        else:
            self._said += self._run_to_its_end(f"{line} --noinput" if " createsuperuser " in line else line)

    def _run_to_its_end(self, line: str) -> str:
        ended = subprocess.run(
            shlex.split(line),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, f"{line}:\n{said}"
        return said

    def _make_environment(self) -> None:
        """Make the virtual environment without downloads, and the checkout beside the folder."""
        self._run_to_its_end(f"{sys.executable} -m venv --without-pip .venv")
        bin_folder = self.folder / ".venv/bin"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        # A .pth file adds a folder but does not read the .pth files in it: the shop stays out of reach.
        packages = self.folder / f".venv/lib/{version}/site-packages/of_this_run.pth"
        packages.write_text(sysconfig.get_path("purelib"))
        for name, target in _SCRIPTS.items():
            module, _, function = target.partition(":")
            script = bin_folder / name
            script.write_text(_SCRIPT.format(python=bin_folder / "python", module=module, function=function))
            script.chmod(0o755)
        (self.folder.parent / "django-microworkflows").symlink_to(ROOT)

    def _start(self, name: str, line: str) -> None:
        """Start a command that runs on; one of the same name is stopped first, as by Ctrl-C."""
        if name in self._running:
            running = self._running.pop(name)
            running.send(signal.SIGINT)
            running.wait()
        log = self.folder / f"{name}.log"
        log.unlink(missing_ok=True)
        self._marks.pop(name, None)
        self._running[name] = Process(
            *shlex.split(line), environment=self._environment, log=log, cwd=self.folder
        )

    def _start_procfile(self) -> None:
        """Start the lines of the Procfile that do not run yet."""
        for line in (self.folder / "Procfile").read_text().splitlines():
            name, _, command = line.partition(": ")
            if name not in self._running:
                self._start(name, f"{command} {self.desk.port}" if name == "web" else command)
        eventually(self.desk.is_open, what="the web server answers")

    def _act(self, sentence: str, actions: "Mapping[str, Callable[[Desk], str | None]]") -> None:
        text = " ".join(sentence.split())
        for phrase, action in actions.items():
            if phrase in text:
                self._mark()
                path = action(self.desk)
                self.did.append(phrase)
                if path is not None:
                    for seen in re.findall(r"\*([^*]+)\*", text):
                        self.desk.see(seen, on=path)

    def _mark(self) -> None:
        """Note what was said so far: it does not count for what is to be seen next."""
        self._marks = {name: len(process.output) for name, process in self._running.items()}

    def _see(self, line: str, *, after: str) -> None:
        """Wait until a line is said, by the command or by what runs; an ellipsis stands for anything."""
        wanted = re.compile(".*?".join(map(re.escape, line.strip().split("…"))))
        if not wanted.pattern:
            return

        def said() -> str:
            heard = [process.output[self._marks.get(name, 0) :] for name, process in self._running.items()]
            return "\n".join([self._said, *heard])

        try:
            eventually(lambda: wanted.search(said()))
        except AssertionError:
            raise AssertionError(f"After {after!r} nobody said {line!r}, but:\n{said()}") from None


class Desk:
    """The Django admin in a browser: logged in, forms are filled in, pages are read."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.port = url.rpartition(":")[2]
        self._log_out()

    def is_open(self) -> bool:
        """Return True if the web server answers."""
        try:
            self._get("/admin/login/")
        except OSError:
            return False
        return True

    def add(self, model: str, **fields: object) -> None:
        """Fill in the form for a new object and save it, logged in."""
        self._log_in()
        self._post(f"/admin/{model}/add/", **fields)

    def read(self, path: str) -> str:
        """Return the text of a page, as people read it."""
        page = re.sub(r"<(script|style).*?</\1>", "", self._get(path), flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())

    def see(self, text: str, *, on: str) -> None:
        """Wait until a page has this text."""
        eventually(
            lambda: text in self.read(on), every=0.3, progress=lambda: self.read(on), what=f"{text!r} on {on}"
        )

    def newest(self, model: str) -> str:
        """Return the path of the page of the newest object."""
        number = max(map(int, re.findall(rf"/admin/{model}/(\d+)/change/", self._get(f"/admin/{model}/"))))
        return f"/admin/{model}/{number}/change/"

    def _log_out(self) -> None:
        self._cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self._cookies))

    def _log_in(self) -> None:
        if "Log in" in self.read("/admin/"):
            self._post("/admin/login/?next=/admin/", username="desk", password=_PASSWORD)

    def _get(self, path: str) -> str:
        with self._opener.open(f"{self._url}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def _post(self, path: str, **fields: object) -> None:
        page = self._get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token is not None, page
        data = urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        with self._opener.open(f"{self._url}{path}", data, timeout=30) as answer:
            assert "errornote" not in (said := answer.read().decode()), said


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield each piece of prose, with the language and the text of the block that follows it."""
    pieces: Sequence[str] = _PARTS.split(text)
    for at in range(0, len(pieces) - 1, 3):
        yield pieces[at], pieces[at + 1], pieces[at + 2]
    yield pieces[-1], "", ""
