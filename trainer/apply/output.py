"""How `trainer apply` shows verdicts: each one at once, in a table or as a line of JSON; then a summary and a table file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from trainer.apply.run import ApplyPlan
from trainer.apply.shorten import shorten
from trainer.apply.verdict import ImageVerdict, write_csv
from trainer.listing.tally import LeftOut, Tally
from trainer.wording import printable

_SCORE, _VERDICT, _GAP = 6, 10, 2
_REGIONS, _LEAST_NAME, _ROOMY = 24, 8, 64
"""Widths in cells: of the regions' column at least, of a name at least, and of a terminal that shows regions."""


class VerdictOutput:
    """Takes verdicts as they come.

    Args:
        plan: What is scored.
        console: Standard output.
    """

    def __init__(self, plan: ApplyPlan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._is_json = plan.settings.json_output
        self._verdicts: list[ImageVerdict] = []
        # A pipe has no width, unless somebody says so: names stay whole there, and a line each.
        width = console.width if console.is_terminal or os.environ.get("COLUMNS") else None
        self._folder, names = _below_common_folder(plan.paths, is_wanted=width is not None)
        self._table = _Table(names, width, "\u2026" if console.encoding.startswith("utf") else "..")

    @property
    def tally(self) -> Tally:
        """Of all files so far: those scored are taken."""
        failed = [LeftOut(str(v.path), v.reason, v.error) for v in self._verdicts if v.reason is not None]
        return Tally(len(self._verdicts) - len(failed), (*failed, *self._plan.left_out))

    @property
    def failed(self) -> list[ImageVerdict]:
        """Images that could not be scored."""
        return [verdict for verdict in self._verdicts if verdict.error is not None]

    @property
    def ignored_orientation(self) -> list[Path]:
        """Images that an EXIF flag asks to be turned, which the model does not."""
        return [verdict.path for verdict in self._verdicts if verdict.is_orientation_ignored]

    def show(self, verdict: ImageVerdict) -> None:
        """Print one; the first in text comes with a head.

        Raises:
            OutputLostError: Standard output cannot be written.
        """
        if self._is_json:
            _write_line(verdict.as_json())
        else:
            if not self._verdicts:
                if self._folder:
                    self._print(Text(f"images in {printable(self._folder)}"))
                self._print(self._table.head())
            self._print(self._table.row(verdict, len(self._verdicts)))
        self._verdicts.append(verdict)

    def end(self, *, is_interrupted: bool = False) -> None:
        """Print the summary and write the table that was asked for, unless it would be incomplete.

        Raises:
            OutputError: The table cannot be written.
            OutputLostError: Standard output cannot be written.
        """
        settings, tally = self._plan.settings, self.tally
        if settings.csv is not None and not is_interrupted:
            write_csv(settings.csv, self._verdicts, self._plan.left_out)
        unreached = len(self._plan.paths) - len(self._verdicts)
        rejected = sum(verdict.anomaly_class == "nok" for verdict in self._verdicts)
        if self._is_json:
            for one in self._plan.left_out:
                _write_line({"event": "left_out", "file": one.name, "reason": one.reason})
            _write_line(
                {
                    "event": "summary",
                    "bundle": str(settings.bundle),
                    "seen": tally.seen + unreached,
                    "scored": tally.taken,
                    "rejected": rejected,
                    "left_out": tally.left_out_as_json(),
                    "not_reached": unreached,
                    "csv": None if settings.csv is None or is_interrupted else str(settings.csv),
                }
            )
            return
        self._print(Text(_summary(self._verdicts, rejected, tally, unreached)))
        if settings.csv is not None:
            said = "is not written, because it would be incomplete" if is_interrupted else "has a row for each file"
            self._print(Text(f"{printable(str(settings.csv))} {said}"))

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)


class _Table:
    """Rows of a table, each a line; names have been shortened together."""

    def __init__(self, names: Sequence[str], width: int | None, ellipsis: str) -> None:
        self._width = width
        fixed = 2 * _GAP + _SCORE + _VERDICT
        self._name = longest = max([cell_len("image"), *map(cell_len, names)], default=0)
        self._has_regions = width is None or width >= _ROOMY
        if width is not None:
            room = width - fixed - (_GAP + _REGIONS if self._has_regions else 0)
            self._name = min(longest, max(_LEAST_NAME, room))
        shown = shorten(names, self._name, ellipsis)
        self._names = [shown[name] for name in names]

    def head(self) -> Text:
        return self._line(("image", "score", "verdict", "regions (x, y, w, h)"), "bold", "bold")

    def row(self, verdict: ImageVerdict, place: int) -> Text:
        name = self._names[place]
        if verdict.anomaly_class is None:
            return self._line((name, "", "not scored", ""), "", "magenta")
        colour = "green" if verdict.anomaly_class == "ok" else "bold red"
        cells = (name, f"{verdict.anomaly_score:.4f}", verdict.anomaly_class, self._regions(verdict))
        return self._line(cells, "", colour)

    def _regions(self, verdict: ImageVerdict) -> str:
        """As many boxes as there is room for, the largest first."""
        boxes = [f"({box.x}, {box.y}, {box.width}, {box.height})" for box in verdict.boxes]
        for shown in range(min(3, len(boxes)), 0, -1):
            more = verdict.num_regions - shown
            text = " ".join(boxes[:shown]) + (f" +{more}" if more > 0 else "")
            if self._width is None or cell_len(text) <= self._width - self._name - 3 * _GAP - _SCORE - _VERDICT:
                return text
        return f"{verdict.num_regions} regions" if verdict.num_regions else ""

    def _line(self, cells: tuple[str, str, str, str], style: str, verdict_style: str) -> Text:
        name, score, verdict, regions = cells
        gap = " " * _GAP
        line = Text(style=style).append(set_cell_size(name, self._name))
        line.append(f"{gap}{score:>{_SCORE}}{gap}").append(f"{verdict:<{_VERDICT}}", style=verdict_style)
        if self._has_regions:
            line.append(f"{gap}{regions}")
        line.rstrip()
        if self._width is not None:
            line.truncate(self._width)
        return line


def _summary(verdicts: Sequence[ImageVerdict], rejected: int, tally: Tally, unreached: int) -> str:
    threshold = next((f" (threshold {v.threshold:.4f})" for v in verdicts if v.anomaly_class is not None), "")
    said = [f"{tally.taken} scored, {rejected} rejected{threshold}, {len(tally.left_out)} left out"]
    if tally.left_out:
        said[0] += f": {tally.reasons}"
    if unreached:
        said.append(f"{unreached} not reached")
    return "; ".join(said)


def _below_common_folder(paths: Sequence[Path], *, is_wanted: bool) -> tuple[str, list[str]]:
    """The folder that all images lie in, as it was given, and their names below it; no folder where there is none or it is short."""
    parents = [str(path.parent) for path in paths]
    is_alike = len({path.is_absolute() for path in paths}) == 1
    folder = os.path.commonpath(parents) if is_wanted and is_alike else ""
    names = [str(path.relative_to(folder)) if folder else str(path) for path in paths]
    return folder, [printable(name) for name in names]


def _write_line(entry: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(entry) + "\n")
    sys.stdout.flush()
