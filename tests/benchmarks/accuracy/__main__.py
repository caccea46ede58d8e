"""`python -m tests.benchmarks.accuracy`: see the package's own words."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from inspector.anomaly.network.tuning import tune_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.accuracy.cells import Cell
    from tests.benchmarks.accuracy.measure import Figures

RESULTS = Path(__file__).parents[1] / "results"
STORE = RESULTS / "accuracy.json"
TABLE = RESULTS / "accuracy.md"


def main() -> int:
    """Measure what is missing, then write the table; 1 where the sets are not there."""
    from tests.benchmarks.accuracy.cells import Piece
    from tests.benchmarks.accuracy.table import markdown

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.accuracy", description=__doc__)
    parser.add_argument("command", choices=["run", "table"])
    parser.add_argument("--piece", choices=get_args(Piece), action="append", help="all pieces by default")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after the cell in which they are over")
    parser.add_argument("--only", default="", help="only cells whose name holds this text")
    arguments = parser.parse_args()
    store = json.loads(STORE.read_text()) if STORE.exists() else {"cells": {}}
    if arguments.command == "run":
        status = _run(store, arguments.piece or list(get_args(Piece)), arguments.seconds, arguments.only)
        if status:
            return status
    TABLE.write_text(markdown(store), encoding="utf-8")
    print(json.dumps({"cells": len(store["cells"]), "json": str(STORE), "table": str(TABLE)}))
    return 0


def _run(store: dict[str, Any], pieces: list[Any], seconds: float, only: str) -> int:
    from tests.benchmarks.accuracy.cells import plan
    from tests.benchmarks.accuracy.measure import measure
    from tests.benchmarks.accuracy.remember import remembered_features
    from tests.benchmarks.accuracy.sets import DATA
    from tests.benchmarks.accuracy.speed import measure_speeds

    if not DATA.is_dir():
        print(f"the sets are not there: {DATA} does not exist", file=sys.stderr)
        return 1
    ends = time.monotonic() + seconds
    missing = [
        cell
        for piece in pieces
        for cell in plan(piece)
        if cell.key not in store["cells"] and only in f"{cell.set} {cell.variant.name}"
    ]

    def pass_of(cell: Cell) -> tuple[int, str, str, int]:
        return pieces.index(cell.piece), cell.set, cell.variant.backbone, cell.variant.short_side

    accuracy = sorted((cell for cell in missing if cell.piece != "timing"), key=pass_of)
    for _, group in itertools.groupby(accuracy, key=pass_of):
        with remembered_features():
            for cell in group:
                if time.monotonic() >= ends:
                    return 0
                _keep(store, {cell: measure(cell)})
    for name in dict.fromkeys(cell.set for cell in missing if cell.piece == "timing"):
        if time.monotonic() >= ends:
            return 0
        # All of a set anew: what is compared is timed in one run.
        _keep(store, measure_speeds([cell for cell in plan("timing") if cell.set == name]))
    return 0


def _keep(store: dict[str, Any], found: Mapping[Cell, Figures]) -> None:
    """Store and say what was measured; what was measured of an earlier revision gives way to it."""
    from tests.benchmarks.accuracy.cells import Cell, newest
    from tests.benchmarks.store import write_store

    store["cells"] |= {cell.key: figures for cell, figures in found.items()}
    kept = sorted(cell.key for cell in newest(map(Cell.model_validate_json, store["cells"])))
    store["cells"] = {key: store["cells"][key] for key in kept}
    write_store(STORE, store)
    for cell, figures in found.items():
        shown = " ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)
        print(f"{cell.piece} {cell.set} {cell.variant.name} seed {cell.seed}: {shown}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    tune_process()
    sys.exit(main())
