"""Words, names, texts and marks of an SQL text."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    \s+ | --[^\n]* | /\*.*?\*/
    | (?P<name> (?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[A-Za-z_][^\]]*\]|[^\W\d][\w$]*)
        (?:\s*\.\s*(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]+\]|[^\W\d][\w$]*|\*))* )
    | (?P<text> '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<mark> [(),;=*] )
    | (?P<other> %\([^)]*\)s | %s | [\d.]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A piece of a statement, spaces and comments left out."""

    kind: str
    """``name``, ``text``, ``mark`` or ``other``."""
    text: str
    word: str
    """In capitals, for a name without quotes; else empty."""


def tokens(sql: str) -> list[Token]:
    """Cut a text into its pieces."""
    found = []
    for match in _TOKEN.finditer(sql):
        if match.lastgroup is None:
            continue
        kind = match.lastgroup if match.lastgroup != "tag" else "text"
        text = match.group()
        plain = kind == "name" and text[0] not in '"`[' and "." not in text
        found.append(Token(kind, text, text.upper() if plain else ""))
    return found


def bare(name: str) -> str:
    """Last part of a dotted, quoted name."""
    parts = re.findall(r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]+\]|[^\s.]+', name)
    last = parts[-1] if parts else name
    if last[0] in '"`':
        return last[1:-1].replace(last[0] * 2, last[0])
    return last[1:-1] if last[0] == "[" else last


def closing(tokens: list[Token], index: int) -> int:
    """Find the parenthesis that closes the one at an index; the end if none does."""
    depth = 0
    for position in range(index, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[position].text, 0)
        if not depth:
            return position
    return len(tokens)
