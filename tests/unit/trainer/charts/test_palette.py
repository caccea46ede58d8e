from __future__ import annotations

import re
from pathlib import Path

import pytest

import deploy.demo.views
import trainer.report
from trainer.charts.palette import CALIBRATION, SECOND, VARIABLES, as_rgb


@pytest.mark.parametrize(("package", "without"), [(trainer.report, SECOND), (deploy.demo.views, CALIBRATION)])
def test_each_page_has_every_colour_of_its_charts_in_light_and_dark(package: object, without: str) -> None:
    """A colour that a page does not draw with it need not have."""
    folder = Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    page = "".join(path.read_text() for path in sorted((folder / "templates").iterdir()))
    light, dark = (
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", root))
        for root in re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    )
    for colour, variable in VARIABLES.items():
        if colour != without:
            assert light[variable] == colour, variable
            assert variable in dark


def test_a_colour_is_told_apart_from_every_other() -> None:
    assert len(VARIABLES) == len(set(VARIABLES.values())) == 12
    assert as_rgb("#12806f") == (18, 128, 111)
