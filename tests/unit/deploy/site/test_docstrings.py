"""Docstrings as Sphinx wants them."""

from __future__ import annotations

import pytest

from deploy.site.docstrings import to_restructured_text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Return `None` where `a` is.", "Return ``None`` where ``a`` is."),
        ("Already ``code``.", "Already ``code``."),
        ("(H, W) np.bool_, read-only", r"(H, W) np.bool\_, read-only"),
        ("`bool_` is code", "``bool_`` is code"),
        ("snake_case stays", "snake_case stays"),
    ],
)
def test_code_and_underscores_are_as_they_were_meant(line: str, expected: str) -> None:
    lines = [line]
    to_restructured_text(lines)
    assert lines == [expected]


def test_a_table_becomes_a_list_of_its_cells() -> None:
    lines = ["Which is which:", "", "    | | a |", "    |---|---|", "    | `x` | yes |", "", "After."]
    to_restructured_text(lines)
    assert lines == [
        "Which is which:",
        "",
        "    .. list-table::",
        "       :header-rows: 1",
        "",
        "       * -",
        "         - a",
        "       * - ``x``",
        "         - yes",
        "",
        "",
        "After.",
    ]
