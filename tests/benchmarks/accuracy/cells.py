"""What is measured: the plan of all cells, each a set, a model and a seed. Nothing here computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict

from inspector.anomaly.choices import BackboneName, DetectorName, FeatureNormalization

Piece = Literal["main", "ablation", "timing"]

SETS = (
    "aws_cookie",
    "aws_alien",
    "mvtec_toothbrush",
    "kolektorsdd",
    "elpv_mono",
    "elpv_poly",
    "mvtec_screw",
    "magnetic_tile",
)
DETECTORS: tuple[DetectorName, ...] = ("padim", "patchcore", "student", "fused")
ON_LARGER: tuple[DetectorName, ...] = ("padim", "fused")
BACKBONES: tuple[BackboneName, ...] = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
NORMALIZATIONS: tuple[FeatureNormalization, ...] = ("level", "vector")
SEEDS = (0, 1, 2)
PEERS: Mapping[str, tuple[int, ...]] = MappingProxyType({"PatchCore": (3, 5), "PaDiM": (2, 3, 5)})
"""anomalib's models, and the backbone's levels that they see: strides 8 and 16, and 4 too for PaDiM, as of its own backbones."""
REVISIONS: Mapping[DetectorName, int] = MappingProxyType({"padim": 6, "patchcore": 4, "student": 7, "fused": 9})
"""Raised with every change of a detector that moves its figures: its cells are then measured anew. Until they are, the page shows what was
measured of it before, and says so."""


STORED = ("border", "fine.neighbourhood", "fine.power", "detail.power")
"""Numbers of the fused detector that nothing is learnt with: they are changed in the trained one."""


class Variant(BaseModel):
    """A model: the default of its detector, but for what is named here.

    Attributes:
        short_side: Of the model's input, pixels; the long side keeps the aspect.
        levels: Of the backbone, with `grid_level` the index of the one that gives the grid; None for the default.
        normalization: Of the features before their projection; None for the default.
        own: Parameters of the detector itself, or numbers that the trained one stores (`STORED`).
        rule: `maximum`, `mean_of_top <share>` or `standard_deviation <factor>`; None for the default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: DetectorName
    backbone: BackboneName = "efficientnet_lite0"
    short_side: int = 256
    levels: tuple[int, ...] | None = None
    grid_level: int = 0
    normalization: FeatureNormalization | None = None
    own: tuple[tuple[str, float], ...] = ()
    rule: str | None = None

    @property
    def name(self) -> str:
        """In words, for a table."""
        parts = [self.detector, self.backbone.removeprefix("efficientnet_")]
        if self.short_side != Variant.model_fields["short_side"].default:
            parts.append(f"short side {self.short_side}")
        if self.levels is not None:
            parts.append(f"levels {', '.join(map(str, self.levels))} on the grid of {self.levels[self.grid_level]}")
        if self.normalization is not None:
            parts.append(f"normalized by {self.normalization}")
        parts += [f"{name} {value:g}" for name, value in self.own]
        return " · ".join([*parts, *([self.rule] if self.rule else [])])


class Cell(BaseModel):
    """One measurement.

    Attributes:
        revision: Of the detector (`REVISIONS`) that was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    piece: Piece
    set: str
    variant: Variant
    seed: int = 0
    revision: int = 1

    @property
    def is_current(self) -> bool:
        """Whether this is the detector as it is now."""
        return self.revision == REVISIONS[self.variant.detector]

    @property
    def as_now(self) -> Cell:
        """The same of the detector as it is now."""
        return self.model_copy(update={"revision": REVISIONS[self.variant.detector]})

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return self.model_dump_json()


def newest(cells: Iterable[Cell]) -> list[Cell]:
    """Of cells that differ in their revision alone the one of the latest."""
    found: dict[str, Cell] = {}
    for cell in sorted(cells, key=lambda cell: cell.revision):
        found[cell.as_now.key] = cell
    return list(found.values())


_LEVELS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((4, 6), 0),
    ((4, 5, 6), 0),
    ((3, 5), 1),
    ((3, 4, 5), 1),
    ((2, 3, 4, 5, 6), 2),
)
"""Levels and the index of the one that gives the grid."""


def ablations() -> Iterator[Variant]:
    """One factor at a time, around the default of the fused detector."""
    for normalization in NORMALIZATIONS:
        yield Variant(detector="fused", normalization=normalization)
    for side in (320, 448):
        yield Variant(detector="fused", short_side=side)
    for rule in ("maximum", "mean_of_top 0.003", "mean_of_top 0.03", "standard_deviation 3"):
        yield Variant(detector="fused", rule=rule)
    for coreset in (500, 2000, 8000):
        yield Variant(detector="fused", own=(("coreset", coreset),))
    for regularization in (0.1, 1):
        yield Variant(detector="fused", own=(("regularization", regularization),))
    for name, numbers in (
        ("border", (1, 0.97, 0.9)),
        ("fine.neighbourhood", (1, 5)),
        ("fine.power", (0.5, 1)),
        ("detail.power", (0.05, 0.2)),
    ):
        for number in numbers:
            yield Variant(detector="fused", own=((name, number),))
    for levels, grid in _LEVELS:
        yield Variant(detector="fused", levels=levels, grid_level=grid)


def defaults() -> list[Variant]:
    """What a quality is chosen from: each detector on the smallest backbone, the fastest and the fused one on the larger ones too."""
    larger = [Variant(detector=detector, backbone=backbone) for backbone in BACKBONES[1:] for detector in ON_LARGER]
    return [Variant(detector=detector) for detector in DETECTORS] + larger


def plan(piece: Piece) -> list[Cell]:
    """All cells of a piece, those that share a pass of the backbone next to each other."""
    if piece == "ablation":
        return [cell_of(piece, name, variant) for name in SETS for variant in ablations()]
    if piece == "main":
        return [cell_of(piece, name, variant, seed) for variant in defaults() for name in SETS for seed in SEEDS]
    return [cell_of(piece, name, variant) for variant in defaults() for name in SETS]


def cell_of(piece: Piece, name: str, variant: Variant, seed: int = 0) -> Cell:
    """A cell of the detector as it is now."""
    return Cell(piece=piece, set=name, variant=variant, seed=seed, revision=REVISIONS[variant.detector])


def peer_key(name: str, model: str, seed: int = 0) -> str:
    """Under which the figures of one of `PEERS` on a set are stored."""
    return f"{name} {model} seed {seed}"
