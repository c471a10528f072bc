"""The pages: what they show of the stages is fresh, what they tell to do is there, and each says what it must."""

import re
import shlex
from pathlib import Path

import pytest

from migrations_guide.engine import pages, pictures, stages
from migrations_guide.engine.pages import FOLDER
from migrations_guide.engine.stages import Stage, StageError

STAGES = [pytest.param(stage, id=str(stage.number)) for stage in stages.stages()]
LATER = STAGES[1:]


def test_code_and_pictures_on_the_pages_are_those_of_the_stages() -> None:
    stale = [
        path.name for path, text in pages.fresh().items() if not path.exists() or path.read_text() != text
    ]

    assert stale == [], "run: python -m migrations_guide pages"


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_a_page_with_its_picture_and_the_way_to_the_next(stage: Stage) -> None:
    text = pages.pages()[stage.number].read_text()
    following = pages.pages().get(stage.number + 1, FOLDER / "your-own-code.md")

    assert text.startswith(f"# Stage {stage.number}: ")
    assert f"](images/stage-{stage.number}.svg)" in text
    assert f"]({following.name})" in text.splitlines()[-1]
    assert f"]({pages.pages()[stage.number].name})" in (FOLDER / "README.md").read_text()
    assert stage.number in pictures.PICTURES


@pytest.mark.parametrize("stage", LATER)
def test_each_page_says_why_what_how_and_how_back(stage: Stage) -> None:
    headings = re.findall(r"^## (.*)$", pages.pages()[stage.number].read_text(), flags=re.MULTILINE)

    assert {
        *("Why", "What changes", "Commands", "How to verify", "Going back"),
        *("What it costs, what it gives", "State of production"),
    } <= set(headings)


@pytest.mark.parametrize("stage", LATER)
def test_way_forth_leads_to_the_stage_and_the_way_back_to_the_one_before(stage: Stage) -> None:
    def deployed(section: str) -> list[int]:
        lines = pages.commands(stage.number, section)
        return [
            int(found[1]) for line in lines if (found := re.match(r"# deploy the code of stage (\d)", line))
        ]

    assert deployed("Commands") == [stage.number]
    assert deployed("Going back") == [stage.number - 1]


@pytest.mark.parametrize("stage", STAGES)
def test_every_command_of_a_page_can_be_read_by_a_shell(stage: Stage) -> None:
    for section in ("Commands", "Going back", "Tidying up", "How to verify"):
        for line in pages.commands(stage.number, section):
            assert shlex.split(line, comments=True) or line.startswith("#")


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("diff: orders/operation.py", "changes nothing in orders/operation.py"),
        ('diff: orders/operations.py, where it has "no such text"', "has no 'no such text' near it"),
        ("diff: orders/operations.py, no_such_function", "has no 'no_such_function'"),
        ("code: orders/operations.py, no_such_function", "has no 'no_such_function'"),
    ],
)
def test_block_that_its_stage_cannot_fill_is_told(
    block: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "2-page.md"
    page.write_text(f"<!-- {block} -->\n<!-- end -->\n")
    monkeypatch.setattr(pages, "FOLDER", tmp_path)

    with pytest.raises(StageError, match=said):
        pages.fresh()
