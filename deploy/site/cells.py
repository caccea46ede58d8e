"""Text as it stands in a cell of a Markdown table."""

from __future__ import annotations


def cell(text: str) -> str:
    """Return the text on one line, with nothing that would end the cell or begin HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
