"""What a docstring needs before Sphinx reads it: its code stands in single backticks, which reStructuredText takes for a title."""

from __future__ import annotations

import re
from collections.abc import MutableSequence

_CODE = re.compile(r"(?<![`\\])`([^`\n]+)`(?![`_])")


def to_restructured_text(lines: MutableSequence[str]) -> None:
    """Rewrite the lines of a docstring in place: `code` becomes ``code``, and a star in words loses its meaning."""
    lines[:] = [_CODE.sub(r"``\1``", line) for line in lines]
