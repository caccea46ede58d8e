"""The table of `trainer apply`, in terminals of any width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from inspector.anomaly.types import RegionComponent
from trainer.apply.output import VerdictOutput
from trainer.apply.run import ApplyPlan
from trainer.apply.verdict import ImageVerdict
from trainer.listing.tally import LeftOut
from trainer.settings.commands import ApplySettings

NAMES = [f"line4/camera2/2024-05-01/a_part_with_a_long_name_{i:06}_{side}.png" for i in range(3) for side in "lr"]
FOLDER = Path("/data/archive/of/this/plant/that/has/a/long/name")


def printed(width: int | None, names: list[str], folder: Path = FOLDER) -> list[str]:
    """The lines, in a terminal of a width or in a pipe."""
    paths = [folder / name for name in names]
    plan = ApplyPlan(ApplySettings(bundle=Path("b"), images=[folder]), paths, [LeftOut("x.txt", "hidden")], {})
    console = Console(
        file=io.StringIO(), width=width, force_terminal=width is not None, no_color=True, color_system=None
    )
    output = VerdictOutput(plan, console)
    for place, path in enumerate(paths):
        boxes = tuple(
            RegionComponent(x=1000 + i, y=2, width=30, height=40, area=5, max_score=0.9) for i in range(place)
        )
        output.show(ImageVerdict(path, 0.25 + place / 10, 0.5, "nok" if place else "ok", boxes, num_regions=place * 2))
    output.end()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [200, 120, 80, 64, 60, 40, 28])
def test_rows_fit_and_are_told_apart(width: int) -> None:
    where, head, *rows, _ = printed(width, NAMES)
    assert where == f"images in {FOLDER / 'line4/camera2/2024-05-01'}"
    assert head.startswith("image")
    assert len(rows) == len(NAMES)
    assert all(cell_len(row) <= width for row in (head, *rows))
    assert len({row.split()[0] for row in rows}) == len(NAMES)
    assert all("0.25" in row or "nok" in row for row in rows), "score and verdict are never cut off"


def test_a_terminal_of_hardly_any_width_does_not_fail() -> None:
    assert all(cell_len(row) <= 10 for row in printed(10, NAMES)[1:-1])


def test_a_pipe_has_whole_paths_and_a_line_each() -> None:
    head, *rows, summary = printed(None, NAMES)
    assert [row.split()[0] for row in rows] == [str(FOLDER / name) for name in NAMES]
    assert "(1000, 2, 30, 40) (1001, 2, 30, 40) (1002, 2, 30, 40) +7" in rows[-1]
    assert summary == "6 scored, 5 rejected (threshold 0.5000), 1 left out: 1 hidden (x.txt)"
    assert head.split()[:3] == ["image", "score", "verdict"]


def test_wide_letters_take_two_cells() -> None:
    names = [f"部品の写真部品の写真部品の写真_{i}.png" for i in range(4)]
    _, head, *rows, _ = printed(40, names)
    assert all(cell_len(row) <= 40 for row in (head, *rows))
    assert len({row.split()[0] for row in rows}) == 4
