"""What the project's files must not contain."""

import re

import pytest

from tests.architecture.files import ROOT, project_files

# Put together from parts, or this file would break its own rule.
REGISTRY = re.compile(
    "|".join(["pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.(org|com)"]), re.IGNORECASE
)
MACHINE_PATH = re.compile(r"(?<![\w.~$}])/(?:" + "|".join(["home/", "root/", "Users/", "work/"]) + r")\w")


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        pytest.param(REGISTRY, "a package registry's host", id="registry"),
        pytest.param(MACHINE_PATH, "a path of one machine", id="machine-path"),
    ],
)
def test_no_file_names_what_only_one_machine_knows(pattern: re.Pattern[str], what: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path in project_files()
        for number, line in enumerate((ROOT / path).read_text("utf-8", "replace").splitlines(), start=1)
        if pattern.search(line)
    ]

    assert not found, f"{what} in:\n" + "\n".join(found)


def test_lock_files_name_a_hash_for_every_package() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        entries = re.split(r"\n(?=\S)", lock.read_text())
        packages = [entry for entry in entries if "==" in entry.splitlines()[0]]

        assert packages
        assert not [entry.splitlines()[0] for entry in packages if "--hash=sha256:" not in entry]


def test_other_locks_have_the_versions_of_the_app_lock() -> None:
    app, *others = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("app.lock", "demo.lock", "dev.lock", "bench.lock")
    )

    for other in others:
        assert app == {name: other.get(name) for name in app}


def test_pages_and_commands_write_times_in_one_form() -> None:
    """By ``times.shown`` and its like, year first: no month by name beside a year, and no form of Django's own."""
    other = re.compile(r"%[Bb] %Y|DATE_FORMAT")
    written = [path for path in project_files() if path.parts[:2] == ("apps", "microworkflows")]

    found = [
        path
        for path in written
        if path.suffix in {".py", ".html"} and other.search((ROOT / path).read_text())
    ]

    assert found == []
