"""The rows that docs/accuracy.md shows of what was measured. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.accuracy.cells import PEERS, SETS, peer_key
from tests.benchmarks.accuracy.table import MISSING, chosen_models, mean_of, measured_rows, number, values_of


def peer_rows(store: Mapping[str, Any], peer: Mapping[str, Any]) -> list[str]:
    """A row for each set: the figures of anomalib's models and of the default; a dash where none was measured.

    Args:
        store: What `make bench-accuracy` measured.
        peer: What `tests.benchmarks.anomalib_peer` measured.
    """
    main, timing = measured_rows(store, "main"), measured_rows(store, "timing")
    default = next(choice for choice in chosen_models(main, timing) if choice.quality == "balanced")
    variant = next(variant for variant in main if variant.name == default.chosen)
    rows = []
    for name in SETS:
        runs = [peer["runs"].get(peer_key(name, model)) for model in PEERS]
        figures = [_figures([run]) if run else MISSING for run in runs] + [_figures(main[variant][name])]
        rows.append([name, *figures])
    return ["| " + " | ".join(row) + " |" for row in rows]


def shipped_rows(store: Mapping[str, Any]) -> list[str]:
    """A row for each set of what `tests.benchmarks.shipped` measured without options, seed 0."""
    names = ("image_auroc", "ok_rejected", "recall", "share_of_best", "ok_outlined", "strongest_pixel_inside", "iou")
    rows = []
    for name in SETS:
        run = store["runs"][f"{name} seed 0"]
        figures = [number(run[figure], 3 if figure == "image_auroc" else 2) for figure in names]
        rows.append([name, *figures])
    return ["| " + " | ".join(row) + " |" for row in rows]


def region_rows(store: Mapping[str, Any]) -> list[str]:
    """A row for each set with masks: how many found defects have their strongest pixel how near the mask; then one for each kind of defect."""
    runs = {name: store["runs"][f"{name} seed 0"] for name in SETS}
    rows, kinds = [], []
    for name, run in runs.items():
        if "strongest_pixel" not in run:
            continue
        counts = run["strongest_pixel"]
        rows.append([name, str(sum(counts.values())), *map(str, counts.values())])
        for kind, aupro in run["aupro_by_defect"].items():
            if aupro is not None:
                shares = run["recall_by_defect"][kind], run["strongest_pixel_inside_by_defect"].get(kind)
                kinds.append([name, kind, *(number(share, 2) for share in shares), number(aupro)])
    return ["| " + " | ".join(row) + " |" for row in [*rows, *kinds]]


def _figures(measured: Sequence[Mapping[str, float | None]]) -> str:
    """Image AUROC, and AUPRO where the set has masks; means over the seeds."""
    found = [values_of(measured, figure) for figure in ("image_auroc", "aupro")]
    return " / ".join(number(statistics.fmean(values)) for values in found if values)


def page_rows(store: Mapping[str, Any]) -> list[str]:
    """A row for each quality, then a row for each set with the qualities' figures there; empty before all is measured."""
    main, timing = measured_rows(store, "main"), measured_rows(store, "timing")
    by_name = {variant.name: variant for variant in main}
    choices = [(choice, by_name[choice.chosen]) for choice in chosen_models(main, timing)]
    if not choices:
        return []
    rows = [
        [
            f"`{choice.quality}`",
            choice.chosen.replace(" · lite", " on EfficientNet-Lite"),
            number(mean_of(main[variant], "image_auroc")),
            number(mean_of(main[variant], "aupro")),
            number(mean_of(timing[variant], "frames_per_s"), 1),
            number(statistics.fmean(choice.judged.values())),
        ]
        for choice, variant in choices
    ]
    rows += [[name, *(_figures(main[variant][name]) for _, variant in choices)] for name in SETS]
    return ["| " + " | ".join(row) + " |" for row in rows]
