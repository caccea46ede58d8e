"""The plan, the choice and the table of `make bench-accuracy`: what they are computed from is measured elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.accuracy.__main__ import STORE, TABLE
from tests.benchmarks.accuracy.cells import (
    BACKBONES,
    DETECTORS,
    REVISIONS,
    SEEDS,
    SETS,
    Cell,
    Piece,
    Variant,
    ablations,
    cell_of,
    defaults,
    plan,
)
from tests.benchmarks.accuracy.choice import BUDGETS, choose, merit
from tests.benchmarks.accuracy.page import page_rows, peer_rows, region_rows, shipped_rows
from tests.benchmarks.accuracy.table import markdown


@pytest.mark.parametrize("piece", ["main", "ablation", "timing"])
def test_every_cell_is_planned_once_and_is_found_again_by_its_key(piece: Piece) -> None:
    cells = plan(piece)
    assert len({cell.key for cell in cells}) == len(cells)
    assert [Cell.model_validate_json(cell.key) for cell in cells] == cells
    assert {cell.set for cell in cells} == set(SETS)


def test_the_main_piece_is_every_default_on_every_set_with_every_seed() -> None:
    assert {variant.detector for variant in defaults()} == set(DETECTORS)
    assert {variant.backbone for variant in defaults()} == set(BACKBONES)
    assert len(plan("main")) == len(defaults()) * len(SETS) * len(SEEDS)


def test_the_ablation_changes_one_factor_at_a_time() -> None:
    for variant in ablations():
        changed = variant.model_dump(exclude_defaults=True, exclude={"detector", "grid_level"})
        assert len(changed) == 1, variant.name


def test_a_choice_is_judged_on_the_set_that_had_no_part_in_it() -> None:
    # On its own set each specialist shines; without that set the all-rounder is the better bet.
    merits = {
        "specialist": {"a": 1.0, "b": 0.5, "c": 0.5},
        "all-rounder": {"a": 0.7, "b": 0.7, "c": 0.7},
    }
    best = next(c for c in choose(merits, {"specialist": 1.0, "all-rounder": 1.0}) if c.quality == "best")
    assert best.without["a"] == "all-rounder"
    assert best.judged == {"a": 0.7, "b": 0.5, "c": 0.5}
    assert best.without["b"] == "specialist"


def test_a_quality_keeps_to_its_budget() -> None:
    merits = {"quick": {"a": 0.8, "b": 0.8}, "slow": {"a": 0.9, "b": 0.9}, "half measured": {"a": 1.0}}
    chosen = {c.quality: c.chosen for c in choose(merits, {"quick": 1.0, "slow": 10.0, "half measured": 1.0})}
    assert chosen == {quality: "slow" if budget >= 10 else "quick" for quality, budget in BUDGETS.items()}


def test_merit_takes_what_the_set_can_tell() -> None:
    assert merit(0.8, None) == 0.8
    assert merit(0.8, 0.6) == pytest.approx(0.7)


def test_the_table_shows_mean_spread_and_choice() -> None:
    cells: dict[str, dict[str, float | None]] = {}
    for name in SETS:
        for seed, value in enumerate((0.90, 0.92, 0.94)):
            figures = {"image_auroc": value, "pixel_auroc": None, "aupro": 0.8, "recall_at_0.01": 0.5}
            cells[cell_of("main", name, Variant(detector="padim"), seed).key] = figures
        timing: dict[str, float | None] = {"fit_seconds": 2.0, "frames_per_s": 50.0, "beyond_backbone_ms": 1.0}
        cells[cell_of("timing", name, Variant(detector="padim")).key] = timing
        larger = cell_of("ablation", name, Variant(detector="padim", short_side=320))
        cells[larger.key] = {"image_auroc": 0.95, "pixel_auroc": None, "aupro": 0.7, "recall_at_0.01": 0.5}
    page = markdown({"cells": cells, "machine": {"processor": "a processor", "cores": 2}, "software": {"torch": "2"}})
    assert "| padim · lite0 | 0.920 | - | 0.800 | 0.500 | 2.0 | 50.0 |" in page
    assert "0.920 ± 0.020" in page
    assert "0.950 (+0.050)" in page
    assert "| `fast` | the fastest | padim · lite0 |" in page


def test_what_was_measured_of_an_earlier_detector_counts_until_it_is_measured_anew_and_is_named() -> None:
    current = plan("main")[0]
    assert current.is_current
    stale = current.model_copy(update={"revision": REVISIONS[current.variant.detector] - 1})
    assert stale.as_now == current
    none = {"pixel_auroc": None, "aupro": None, "recall_at_0.01": None}
    before, after = {"image_auroc": 0.123, **none}, {"image_auroc": 0.456, **none}
    page = markdown({"cells": {stale.key: before}})
    assert "0.123" in page
    assert f"not yet again:\n\n- main: {current.variant.name}: {current.set} (seed 0)" in page
    page = markdown({"cells": {current.key: after, stale.key: before}})
    assert "0.456" in page
    assert "0.123" not in page
    assert "not yet again" not in page


def test_the_page_is_that_of_the_figures() -> None:
    store = json.loads(STORE.read_text(encoding="utf-8"))
    assert TABLE.read_text(encoding="utf-8") == markdown(store)


def test_the_page_of_the_docs_says_what_was_measured() -> None:
    page = (Path(__file__).parents[3] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    rows = page_rows(json.loads(STORE.read_text(encoding="utf-8")))
    assert len(rows) == len(BUDGETS) + len(SETS)
    assert [row for row in rows if row not in page] == []


def test_the_page_says_what_anomalib_and_the_shipped_threshold_were_measured_to_do() -> None:
    page = (Path(__file__).parents[3] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    store, peer, shipped = (
        json.loads(STORE.with_name(name).read_text(encoding="utf-8"))
        for name in (STORE.name, "anomalib.json", "shipped.json")
    )
    rows, regions = [*peer_rows(store, peer), *shipped_rows(shipped)], region_rows(shipped)
    assert len(rows) == 2 * len(SETS)
    assert len(regions) > len(SETS), "the sets with masks, and their kinds of defects"
    rows += regions
    assert [row for row in rows if row not in page] == []


def test_an_empty_store_makes_an_empty_page() -> None:
    assert markdown({"cells": {}}).startswith("# Accuracy and cost")
