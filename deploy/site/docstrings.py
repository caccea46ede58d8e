"""What Sphinx needs to read our docstrings, which are written for people: they use Markdown's code and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableSequence, Sequence

_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_REFERENCE = re.compile(r"(?<=\w)_(?=\W|$)")
_RULE = re.compile(r"\|[-:| ]+\|")


def to_restructured_text(lines: MutableSequence[str]) -> None:
    """Rewrite the lines of a docstring in place, from Markdown to reStructuredText.

    `code` becomes ``code``, a table a list-table, and an underscore at a word's end loses its meaning.
    """
    lines[:] = [
        line for block in _blocks(lines) for line in (_table(block) if _is_row(block[0]) else map(_words, block))
    ]


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Runs of lines that all are rows of a table, or all are not."""
    block: list[str] = []
    for line in lines:
        if block and _is_row(line) != _is_row(block[0]):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|") and line.rstrip().endswith("|")


def _table(rows: Sequence[str]) -> list[str]:
    indent = rows[0][: len(rows[0]) - len(rows[0].lstrip())]
    listed = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in rows:
        if _RULE.fullmatch(row.strip()):
            continue
        cells = [_words(cell.strip()) for cell in row.strip()[1:-1].split("|")]
        listed += [f"{indent}   {'* -' if at == 0 else '  -'} {cell}".rstrip() for at, cell in enumerate(cells)]
    return [*listed, ""]


def _words(line: str) -> str:
    parts = re.split(r"(``[^`]+``)", _CODE.sub(r"``\1``", line))
    return "".join(part if part.startswith("``") else _REFERENCE.sub(r"\\_", part) for part in parts)
