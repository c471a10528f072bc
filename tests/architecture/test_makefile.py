"""The Makefile: its help is complete, and what calls it names targets that exist."""

import re
import subprocess

import yaml

from tests.architecture.files import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def make(*arguments: str) -> str:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_help_lists_every_target() -> None:
    listed = set(re.findall(r"^make ([a-z-]+)", make("help"), re.MULTILINE))

    assert listed == TARGETS


def test_make_alone_prints_the_help() -> None:
    assert make() == make("help")


def test_every_target_is_phony_and_does_something() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)

    assert phony
    assert set(phony[1].split()) == TARGETS
    for target in TARGETS:
        assert make("--dry-run", "--always-make", target).strip()


def test_ci_and_pre_commit_call_targets_that_exist() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    commands = [hook["entry"] for hook in hooks]
    commands += re.findall(r"^make .*$", (ROOT / ".ci/run").read_text(), re.MULTILINE)

    assert len(commands) >= 3
    for command in commands:
        assert {word for word in command.split()[1:] if not word.startswith("-")} <= TARGETS


def test_ci_script_is_executable_bash() -> None:
    script = ROOT / ".ci/run"

    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)
