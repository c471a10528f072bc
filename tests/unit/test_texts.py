import pytest

from microworkflows import texts


@pytest.mark.parametrize("text", ["", "order 4711", "Größe → 7 • 漢字", "a" * texts.LONGEST])
def test_line_is_returned_unchanged(text: str) -> None:
    assert texts.line(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b2J", r"\x9b2J"),
        ("half \ud800", r"half \ud800"),
        ("right \u202e to left", r"right \u202e to left"),
        ("line\u2028separator", r"line\u2028separator"),
        (None, "None"),
        (b"\x1b\n", r"b'\x1b\n'"),
    ],
)
def test_characters_that_a_log_or_terminal_would_obey_are_escaped(text: object, shown: str) -> None:
    assert texts.line(text) == shown
    assert texts.line(shown) == shown, "so it may be done twice"


def test_long_text_is_cut_and_says_so() -> None:
    shown = texts.line("x" * 11_000_000)

    assert shown == "x" * texts.LONGEST + "… (11,000,000 characters)"


def test_block_keeps_lines_and_leaves_out_the_middle_of_many() -> None:
    assert texts.block("one\n\x1btwo\n") == "one\n\\x1btwo\n"

    many = texts.block("\n".join(map(str, range(100_000))))

    assert many.startswith("0\n1\n")
    assert many.endswith("99998\n99999")
    assert "… (99,800 lines left out)" in many
