"""The rows that README.md shows of what was measured. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.accuracy.cells import SETS
from tests.benchmarks.accuracy.table import chosen_models, mean_of, measured_rows, number, values_of


def readme_rows(store: Mapping[str, Any]) -> list[str]:
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
    for name in SETS:
        figures = []
        for _, variant in choices:
            images, regions = (values_of(main[variant][name], figure) for figure in ("image_auroc", "aupro"))
            figures.append(" / ".join(number(statistics.fmean(found)) for found in (images, regions) if found))
        rows.append([name, *figures])
    return ["| " + " | ".join(row) + " |" for row in rows]
