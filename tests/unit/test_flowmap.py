from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from microworkflows import DomainEvent, IncomingEvent, flowmap, microworkflow, registry

POST = """\
flowchart LR
    subgraph context_archive["archive"]
        archive__file_letter[file_letter]
    end
    subgraph context_desk["desk"]
        desk__stamp_letter[stamp_letter]
    end
    subgraph context_letters["letters"]
        letters__begin([a flow begins])
    end
    desk__stamp_letter -->|LetterStamped| archive__file_letter
    letters__begin -->|LetterWritten| desk__stamp_letter
"""


def flowmap_command(*arguments: str) -> str:
    out = StringIO()
    call_command("flowmap", *arguments, stdout=out)
    return out.getvalue()


def test_map_shows_contexts_microworkflows_and_events(post: SimpleNamespace) -> None:
    assert flowmap.flow_map() == POST


def test_map_does_not_depend_on_the_order_of_declaration(post: SimpleNamespace) -> None:
    for declared in (registry._announcements, registry._readings, registry._workflows):
        declared.reverse()

    assert flowmap.flow_map() == POST


def test_event_that_nobody_hears_leads_to_nobody(post: SimpleNamespace) -> None:
    class LetterLost(DomainEvent, type="letters.letter_lost.v2"):
        pass

    text = flowmap.flow_map()

    assert "    nobody((nobody))\n" in text
    assert "    letters__begin -->|LetterLost v2| nobody\n" in text


def test_event_that_no_installed_context_announces_comes_from_elsewhere(post: SimpleNamespace) -> None:
    class ParcelSent(IncomingEvent, type="parcels.parcel_sent.v1"):
        pass

    @microworkflow(on=ParcelSent, context="desk")
    def weigh_parcel(event: ParcelSent) -> None:
        pass

    text = flowmap.flow_map()

    assert '    subgraph context_parcels["parcels"]\n        parcels__elsewhere([elsewhere])\n' in text
    assert "    parcels__elsewhere -->|ParcelSent| desk__weigh_parcel\n" in text


def test_command_prints_the_map(post: SimpleNamespace) -> None:
    assert flowmap_command() == POST


def test_written_map_is_fresh_until_a_declaration_changes(post: SimpleNamespace, tmp_path: Path) -> None:
    file = tmp_path / "flow.mmd"
    flowmap_command("--output", str(file))
    fresh = flowmap_command("--check", str(file))

    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        pass

    with pytest.raises(CommandError, match=r"flow\.mmd is stale.* manage\.py flowmap --output"):
        flowmap_command("--check", str(file))
    assert file.read_text() == POST
    assert "is fresh" in fresh


def test_map_in_a_page_replaces_its_mermaid_block_alone(post: SimpleNamespace, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# Post\n\n```mermaid\nold\n```\n\nThe end.\n")

    with pytest.raises(CommandError, match="is stale"):
        flowmap_command("--check", str(page))
    flowmap_command("--output", str(page))

    assert page.read_text() == f"# Post\n\n```mermaid\n{POST}```\n\nThe end.\n"
    assert "is fresh" in flowmap_command("--check", str(page))


@pytest.mark.parametrize("text", ["no block", "```mermaid\na\n```\n\n```mermaid\nb\n```\n"])
def test_page_needs_exactly_one_mermaid_block(post: SimpleNamespace, tmp_path: Path, text: str) -> None:
    page = tmp_path / "README.md"
    page.write_text(text)

    with pytest.raises(CommandError, match="exactly one"):
        flowmap_command("--output", str(page))

    assert page.read_text() == text


@pytest.mark.parametrize(
    ("option", "name", "remedy"),
    [("--check", "flow.mmd", "Write it"), ("--output", "README.md", "Create the page")],
)
def test_missing_file_is_told_with_what_to_do(
    post: SimpleNamespace, tmp_path: Path, option: str, name: str, remedy: str
) -> None:
    with pytest.raises(CommandError, match=rf"does not exist\. {remedy}"):
        flowmap_command(option, str(tmp_path / name))
