"""The progress of copying: a bar on a terminal, lines elsewhere."""

import io

from microworkflows.cutover.splitting.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def copied(stream: io.StringIO, rows: int, *, seconds: float) -> str:
    """Show the copying of so many rows, which take so long together."""
    now = [0.0]
    progress = Progress(stream, clock=lambda: now[0])
    progress.begin(rows)
    progress.name("payments_payment")
    for _ in range(rows):
        now[0] += seconds / rows
        progress.add()
    progress.end()
    return stream.getvalue()


def test_terminal_shows_a_bar_that_moves() -> None:
    shown = copied(Terminal(), 1000, seconds=2).split("\r")

    assert len(shown) > 5
    assert shown[-1].strip() == "\x1b[K" + "█" * 30 + " 100%  1000 of 1000 rows  all tables"
    assert "░" in shown[1]
    assert "payments_payment" in shown[1]


def test_log_gets_a_line_now_and_then() -> None:
    lines = copied(io.StringIO(), 1000, seconds=30).splitlines()

    assert lines == [
        " 40%  400 of 1000 rows  payments_payment",
        " 80%  800 of 1000 rows  payments_payment",
        "100%  1000 of 1000 rows  all tables",
    ]


def test_context_without_rows_is_copied_at_once() -> None:
    assert copied(io.StringIO(), 0, seconds=0) == "100%  0 of 0 rows  all tables\n"
