"""The dashboards as one picture, drawn from what Prometheus answers to the very queries of the panels.

    python -m tests.monitoring.sheet dashboards.png

starts a plant in small with faults (tests/monitoring/plant.py) and draws what its dashboards show. It stands in for Grafana where there
is none: where panels lie, their kinds, units and limits come from the generated files, the drawing is ours.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from deploy.local.prometheus import running_prometheus
from tests.monitoring.panels import NAMES, document
from tests.monitoring.plant import Plant
from tests.monitoring.rules import PACE_S, write_configuration
from tests.monitoring.shots import Shot, take_shots
from tests.monitoring.strokes import INK, PAPER, STROKES, no_data

COLUMN_IN, ROW_IN = 0.40, 0.27
HEAD_IN = 0.62
DPI, DPI_ALONE = 84, 150
COLORS_KEPT = 128
USUAL_S, FAULTY_S = 45.0 * PACE_S, 30.0 * PACE_S


def draw_sheet(shots: dict[str, list[Shot]], path: Path) -> None:
    """Draw all dashboards, two beside two, into a PNG."""
    rows = {name: max(shot.panel.y + shot.panel.height for shot in shots[name]) for name in NAMES}
    pairs = [NAMES[:2], NAMES[2:]]
    heights = [HEAD_IN + ROW_IN * max(rows[name] for name in pair) for pair in pairs]
    with mpl.rc_context({"font.size": 7, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(2 * 24 * COLUMN_IN + 0.6, sum(heights)), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(figure)
        bands = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)
        for pair, height, (band,) in zip(pairs, heights, bands, strict=True):
            for name, part in zip(pair, band.subfigures(1, 2, wspace=0.01), strict=True):
                part.set_facecolor(PAPER)
                _draw_board(part, name, shots[name], height)
        _save(figure, path)


def draw_dashboard(name: str, shots: list[Shot], path: Path) -> None:
    """Draw one dashboard into a PNG."""
    height = HEAD_IN + ROW_IN * max(shot.panel.y + shot.panel.height for shot in shots)
    with mpl.rc_context({"font.size": 7, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(24 * COLUMN_IN + 0.3, height), dpi=DPI_ALONE, facecolor=PAPER)
        FigureCanvasAgg(figure)
        (part,) = figure.subfigures(1, 1, squeeze=False)[0]
        part.set_facecolor(PAPER)
        _draw_board(part, name, shots, height)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path)
    with Image.open(path) as picture:  # few colours make a file that a repository can bear
        picture.convert("RGB").quantize(COLORS_KEPT, dither=Image.Dither.NONE).save(path, optimize=True)


def _draw_board(part: SubFigure, name: str, shots: list[Shot], height_in: float) -> None:
    head = document(name)
    part.text(0.012, 1 - 0.26 / height_in, head["title"], fontsize=13, weight="bold", color=INK, va="center")
    part.text(0.012, 1 - 0.49 / height_in, head["description"], fontsize=7, color=INK, va="center", alpha=0.75)
    for row in (panel for panel in head["panels"] if panel["type"] == "row"):
        middle = HEAD_IN + ROW_IN * (row["gridPos"]["y"] + 0.62)
        part.text(0.012, 1 - middle / height_in, row["title"], fontsize=9, color=INK, va="center")
    for shot in shots:
        _draw_panel(part, shot, height_in)


def _draw_panel(part: SubFigure, shot: Shot, height_in: float) -> None:
    panel = shot.panel
    unit = ROW_IN / height_in
    left, width = 0.006 + panel.x / 24 * 0.988, panel.width / 24 * 0.988
    bottom, height = 1 - HEAD_IN / height_in - (panel.y + panel.height) * unit, panel.height * unit
    part.add_artist(
        FancyBboxPatch(
            (left + 0.003, bottom + 0.12 * unit),
            width - 0.006,
            height - 0.24 * unit,
            boxstyle="square,pad=0",
            facecolor="white",
            edgecolor="#d8d9da",
            linewidth=0.6,
            transform=part.transSubfigure,
            zorder=-1,
        )
    )
    part.text(
        left + 0.009, bottom + height - 0.72 * unit, panel.title, fontsize=7.5, weight="bold", color=INK, va="center"
    )
    inner = (left + 0.05, bottom + 1.95 * unit, width - 0.065, height - 3.2 * unit)
    if not any(answer.series for answer in shot.answers):
        no_data(part, (left, bottom, width, height))
        return
    STROKES[panel.kind](part, shot, inner, (left, bottom, width, height))


async def _shots_of_a_plant(folder: Path) -> dict[str, list[Shot]]:
    plant = Plant(folder / "cache")
    async with plant.running():
        with running_prometheus(write_configuration(folder, plant.targets), folder) as prometheus:
            begin_s = time.time()
            await asyncio.sleep(USUAL_S)
            plant.is_faulty = True
            await asyncio.sleep(FAULTY_S)
            return await asyncio.to_thread(take_shots, prometheus, begin_s, time.time())


def main() -> None:
    """Draw the dashboards of a plant that is started for it."""
    parser = argparse.ArgumentParser(description="Draw the dashboards as one PNG.")
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    with tempfile.TemporaryDirectory() as name:
        shots = asyncio.run(_shots_of_a_plant(Path(name)))
    draw_sheet(shots, file)
    print(f"{file}: {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
