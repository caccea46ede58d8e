from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer.dataset.table import read_table
from trainer.errors import DatasetError


def is_known(name: str) -> bool:
    return name.strip() in {"path", "label"}


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_table(path, is_known)
    return str(caught.value)


def test_the_delimiter_is_the_one_that_makes_known_columns(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("path;label;a, b, c, d\nx;ok;1\n")
    columns, rows = read_table(path, is_known)
    assert columns == ["path", "label", "a, b, c, d"]
    assert list(rows) == [("line 2", {0: "x", 1: "ok", 2: "1"})]


def test_empty_cells_at_the_end_of_a_line_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("path,label\nx,ok,,\n,,,\n")
    assert list(read_table(path, is_known)[1]) == [("line 2", {0: "x", 1: "ok"})]


def test_what_cannot_be_read_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text('path;label\n"x"y;ok\n')
    assert "with semicolons between its columns: line 2: " in refusal(path)
    path.write_bytes(b"path,label\n\nb\xe4.png,ok\n")
    assert "is not UTF-8 (line 3: " in refusal(path)
    path.write_bytes("path,label\n".encode("utf-16-le"))
    assert "holds zero bytes" in refusal(path)
    assert "cannot be read (" in refusal(tmp_path / "none.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.csv"
    path.write_bytes(content)
    try:
        columns, rows = read_table(path, is_known)
        assert all(isinstance(cells, str) or set(cells) == set(range(len(columns))) for _, cells in rows)
    except DatasetError as error:
        assert str(path) in str(error)  # noqa: PT017 - either will do
