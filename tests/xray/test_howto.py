"""The commands of the how-to run, in its order, on the project that it names."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from microworkflows_xray.__main__ import main
from tests.architecture.files import ROOT
from tests.xray.handover import copied

PAGE = (ROOT / "docs/howto/xray.md").read_text()
REFERENCE = (ROOT / "docs/reference/xray.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.strip().splitlines()
    if not line.startswith("pip install")  # tests/xray/test_wheel.py installs the wheel
]


@pytest.mark.slow
def test_commands_of_the_page_run(tmp_path: Path) -> None:
    root = copied(tmp_path)
    printed = {}

    for line in COMMANDS:
        name, *arguments = shlex.split(line)
        binary = sys.executable if name == "python" else str(Path(sys.executable).parent / name)
        environment = {**os.environ, "PYTHONPATH": str(root)}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        command = [binary, *arguments]
        finished = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, f"{line}\n{finished.stdout}\n{finished.stderr}"
        printed[line] = finished.stdout

    made = {path.name for path in root.iterdir()}
    assert {"xray-facts.json", "xray-report.html", "xray-report.md", "xray-observed.json"} <= made
    (shown,) = (
        block for block in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL) if "emitter" in block
    )
    seams = printed["python -m microworkflows_xray seams place_order"]
    assert [line for line in shown.splitlines() if line not in seams.splitlines()] == []


def test_reference_lists_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    (\w+)\b", capsys.readouterr().out, flags=re.MULTILINE)
    options = set()
    for command in commands:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        options |= set(re.findall(r"^  (?:-h, )?(--[\w-]+)", capsys.readouterr().out, flags=re.MULTILINE))

    listed = set(re.findall(r"^\| `xray (\w+)", REFERENCE, flags=re.MULTILINE))

    assert commands
    assert listed == set(commands)
    assert {option for option in options if f"`{option}" not in REFERENCE} == {"--help"}
