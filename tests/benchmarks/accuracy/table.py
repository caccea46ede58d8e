"""What was measured, as Markdown: one row a model, mean and spread over seeds, and the choice that follows. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from tests.benchmarks.accuracy.cells import SETS, Cell, Piece, Variant, newest
from tests.benchmarks.accuracy.choice import BUDGETS, Choice, choose, merit

Figures = Mapping[str, float | None]
Rows = dict[Variant, dict[str, list[Figures]]]

MISSING = "-"
_SHOWN = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "recall_at_0.01": "recall at 1 % false rejects",
}


def markdown(store: Mapping[str, Any]) -> str:
    """Return the page."""
    main, ablation, timing = (measured_rows(store, piece) for piece in get_args(Piece))
    machine = store.get("machine", {})
    intro = (
        "Measured by `make bench-accuracy` on the sets of `../shared/data` (not part of the project), "
        f"{machine.get('processor', 'unknown')}, {machine.get('cores', '?')} cores, "
        f"torch {store.get('software', {}).get('torch', '?')}. Mean over seeds ± half the range between them. The seed decides the "
        "projection, the bank or the student's first weights, and which images of elpv_mono are learnt from. AUPRO up to 30 % false "
        "positives; aws_alien and the elpv sets have no masks."
    )
    parts = [
        "# Accuracy and cost of each detector and backbone",
        intro,
        _earlier(store),
        _means(main, timing),
        *(_per_set(main, figure) for figure in _SHOWN),
        _costs(timing),
        _changes(main, ablation),
        _choices(main, timing),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def measured_rows(store: Mapping[str, Any], piece: Piece) -> Rows:
    """The figures of a piece by model and set, in the order of the seeds; of each cell those of the latest revision."""
    rows: Rows = defaultdict(lambda: defaultdict(list))
    for cell in sorted(newest(map(Cell.model_validate_json, store["cells"])), key=lambda cell: cell.seed):
        if cell.piece == piece:
            rows[cell.variant][cell.set].append(store["cells"][cell.key])
    return dict(sorted(rows.items(), key=lambda row: row[0].name))


def _earlier(store: Mapping[str, Any]) -> str:
    """What is not of the detectors as they are now, in words."""
    found = [cell for cell in newest(map(Cell.model_validate_json, store["cells"])) if not cell.is_current]
    seeds: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for cell in sorted(found, key=lambda cell: (cell.piece, cell.variant.name, SETS.index(cell.set), cell.seed)):
        seeds[f"{cell.piece}: {cell.variant.name}"][cell.set].append(cell.seed)
    if not seeds:
        return ""
    lines = [
        f"- {model}: " + ", ".join(f"{name} (seed {', '.join(map(str, own))})" for name, own in by_set.items())
        for model, by_set in seeds.items()
    ]
    return "Measured before the detector's last change, and not yet again:\n\n" + "\n".join(lines)


def values_of(figures: Iterable[Figures], name: str) -> list[float]:
    """Those that there are."""
    return [value for item in figures if (value := item.get(name)) is not None]


def mean_of(by_set: Mapping[str, list[Figures]], figure: str, sets: Iterable[str] = SETS) -> float | None:
    """Mean over the sets that have the figure, each weighing alike."""
    means = [statistics.fmean(values) for name in sets if (values := values_of(by_set.get(name, []), figure))]
    return statistics.fmean(means) if means else None


def _shown(values: list[float]) -> str:
    if not values:
        return MISSING
    spread = (max(values) - min(values)) / 2
    return f"{statistics.fmean(values):.3f}" + (f" ± {spread:.3f}" if len(values) > 1 else "")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """As a table shows it."""
    return MISSING if value is None else f"{value:.{digits}f}"


def _means(main: Rows, timing: Rows) -> str:
    if not main:
        return ""
    rows = [
        [
            variant.name,
            *(number(mean_of(by_set, figure)) for figure in _SHOWN),
            number(mean_of(timing.get(variant, {}), "fit_seconds"), 1),
            number(mean_of(timing.get(variant, {}), "frames_per_s"), 1),
        ]
        for variant, by_set in main.items()
    ]
    head = ["model", *_SHOWN.values(), "fit, s", "frames/s on one core"]
    return "## Means over the sets\n\n" + _table(head, rows)


def _per_set(main: Rows, figure: str) -> str:
    sets = [name for name in SETS if any(values_of(by_set.get(name, []), figure) for by_set in main.values())]
    if not sets:
        return ""
    rows = [
        [variant.name, *(_shown(values_of(by_set.get(name, []), figure)) for name in sets)]
        for variant, by_set in main.items()
    ]
    return f"## {_SHOWN[figure][0].upper()}{_SHOWN[figure][1:]} by set\n\n" + _table(["model", *sets], rows)


def _costs(timing: Rows) -> str:
    if not timing:
        return ""

    def beyond(variant: Variant, name: str) -> float | None:
        found = values_of(timing.get(variant, {}).get(name, []), "beyond_backbone_ms")
        return found[0] if found else None

    def shown(variant: Variant, name: str) -> str:
        found, own = timing[variant].get(name, []), beyond(variant, name)
        if own is None:
            return MISSING
        fit, speed = (values_of(found, key)[0] for key in ("fit_seconds", "frames_per_s"))
        other = beyond(variant.model_copy(update={"detector": "patchcore"}), name)
        share = "" if other is None else f" ({own / other:.2f})"
        return f"{fit:.1f} s · {speed:.1f} /s · {own:.2f} ms{share}"

    rows = [[variant.name, *(shown(variant, name) for name in SETS)] for variant in timing]
    text = (
        "Seconds of one fit on all cores (features and detector); then, on one core in batches of eight, the models of a set taking "
        "turns: frames a second from decoded pictures to results, and milliseconds a frame of what follows the backbone, in brackets "
        "as a share of PatchCore's on that backbone and set."
    )
    return "## Cost by set\n\n" + text + "\n\n" + _table(["model", *SETS], rows)


def _changes(main: Rows, ablation: Rows) -> str:
    """Each variant of the ablation beside its detector's default at the same seed."""
    if not ablation:
        return ""
    rows = []
    for variant, by_set in ablation.items():
        default = main.get(Variant(detector=variant.detector), {})
        first = {name: figures[:1] for name, figures in default.items() if name in by_set}
        cells = []
        for figure in _SHOWN:
            found, before = mean_of(by_set, figure), mean_of(first, figure)
            change = "" if found is None or before is None else f" ({found - before:+.3f})"
            cells.append(number(found) + change)
        rows.append([variant.name, *cells])
    sets = ", ".join(name for name in SETS if any(name in by_set for by_set in ablation.values()))
    text = f"Measured on {sets}; seed 0. In brackets the difference to the same detector's default on these sets at that seed."
    return "## One factor at a time\n\n" + text + "\n\n" + _table(["model", *_SHOWN.values()], rows)


def _choices(main: Rows, timing: Rows) -> str:
    chosen = chosen_models(main, timing)
    if not chosen:
        return ""
    rows = [
        [
            f"`{choice.quality}`",
            {1.0: "the fastest", float("inf"): "any"}.get(
                BUDGETS[choice.quality], f"{BUDGETS[choice.quality]:g} x the fastest"
            ),
            choice.chosen,
            *(f"{choice.judged[name]:.3f} ({choice.without[name]})" for name in SETS),
            f"{statistics.fmean(choice.judged.values()):.3f}",
        ]
        for choice in chosen
    ]
    text = (
        "A quality is the model with the highest mean of image AUROC and AUPRO among those whose time a frame its budget allows. "
        "Under each set stands the figure there of the model that the *other* sets chose."
    )
    head = ["quality", "time a frame", "chosen by all sets", *SETS, "mean"]
    return "## What is chosen: on all sets but one, judged on that one\n\n" + text + "\n\n" + _table(head, rows)


def chosen_models(main: Rows, timing: Rows) -> list[Choice]:
    """What each quality stands for, by what was measured."""
    merits = {variant.name: _merits(by_set) for variant, by_set in main.items()}
    costs = {
        variant.name: 1 / speed for variant, by_set in timing.items() if (speed := mean_of(by_set, "frames_per_s"))
    }
    return choose(merits, costs)


def _merits(by_set: Mapping[str, list[Figures]]) -> dict[str, float]:
    merits = {}
    for name, figures in by_set.items():
        images, regions = values_of(figures, "image_auroc"), values_of(figures, "aupro")
        if images:
            merits[name] = merit(statistics.fmean(images), statistics.fmean(regions) if regions else None)
    return merits
