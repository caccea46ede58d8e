"""Settings of `trainer fit`: one class for each group of options, checked together. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from inspector.anomaly.backbones import SIZE_STEP
from inspector.anomaly.choices import (
    LITE_NAMES,
    BackboneName,
    DetectorName,
    DomainHandling,
    FeatureNormalization,
    GeometryRule,
    NormalizationType,
)
from inspector.anomaly.parameters import NAME_PATTERN
from inspector.anomaly.preprocess.param import MAX_INPUT_SIZE
from inspector.anomaly.preprocess.tiling import LEAST_TILE
from inspector.commandline.option import Argument
from trainer.settings.candidates import CANDIDATES, CHOSEN_BY_AUTO
from trainer.settings.quality import (
    DEFAULT_QUALITY,
    QUALITIES,
    WITHOUT_CHOICE,
    ModelChoice,
    Quality,
    QualityChoice,
)
from trainer.settings.rates import Share
from trainer.settings.source import DEVICE_HELP, Group, SourceSettings, SplitSettings, option
from trainer.settings.syntax import is_rectangle, parse_augmentation, parse_domain, parse_score_rule
from trainer.settings.thresholds import ThresholdSettings

Side = Annotated[int, Field(ge=1, le=MAX_INPUT_SIZE)]

_OWNERS: dict[str, tuple[DetectorName, ...]] = {
    "coreset": ("patchcore", "fused"),
    "complexity": ("student",),
    "max_num_epochs": ("student",),
    "error_threshold": ("student",),
    "domain_ratio": ("student", "patchcore"),
    "regularization_noise": ("student", "padim", "fused"),
    "camera_tolerance": ("student", "padim", "fused"),
    "checkpoint": ("student",),
}
"""Which detectors a setting has an effect on."""


class ChoiceSettings(Group):
    """Which detector is trained, on which backbone, for which pictures."""

    title: ClassVar[str] = "model"

    quality: QualityChoice = Field(
        DEFAULT_QUALITY,
        description="which model: fast: the fastest; balanced: the most accurate that takes at most 1.5 times as "
        "long; best: the most accurate; auto: the one that finds most synthetic defects painted into your "
        "own ok images",
    )
    min_fps: float | None = Field(
        None,
        gt=0,
        description="with --quality auto: minimum frames per second on one core of this machine",
    )
    detector: DetectorName | None = Field(
        None,
        description="detector to use instead of the one of --quality: padim: a Gaussian for each position; patchcore: "
        "a memory of image patches; fused: both together; student: a small network",
    )
    backbone: Annotated[BackboneName | None, Argument(f"{{{','.join(LITE_NAMES)},timm:NAME}}")] = Field(
        None,
        description="pretrained network to use instead of the one of --quality (default with --detector: "
        "efficientnet_lite0); larger ones are slower; timm:NAME is any network of timm, if timm is "
        "installed",
    )
    weights: Path | None = Field(
        None,
        description="safetensors file with the weights of timm:NAME (default: timm downloads them)",
    )
    geometry: GeometryRule = Field(
        "one-camera",
        description="one-camera: refuse images whose aspect ratio differs from the typical one; any: accept all, for parts cropped to their own size",
    )

    apply_exif: bool = Field(
        False,
        description="rotate images as their EXIF orientation says; apply, show and the inspector then do the same "
        "(default: the orientation is ignored)",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.detector is not None and "quality" in self.model_fields_set:
            raise ValueError("--quality chooses the detector; give it or --detector, not both")
        self._refuse_for_auto()
        chosen = self.model_choice.detector
        for name, owners in _OWNERS.items():
            if getattr(self, name, None) is not None and chosen not in owners:
                raise ValueError(f"{option(name)} is a setting of {' and '.join(owners)}, not of {chosen}")
        if self.weights is not None and self.model_choice.backbone in LITE_NAMES:
            raise ValueError(
                f"--weights needs --backbone timm:NAME; the weights of {self.model_choice.backbone} come with an "
                "installed package"
            )
        if self.geometry == "any" and getattr(self, "domain", None) is not None:
            raise ValueError(
                "--domain can be used with --geometry one-camera only: in images of different sizes it would be at a "
                "different place in each; leave one of them out"
            )
        return self

    def _refuse_for_auto(self) -> None:
        """Refuse what contradicts `--quality auto`, or goes with nothing else."""
        if not self.is_auto:
            if self.min_fps is not None:
                raise ValueError(
                    "--min-fps has an effect with --quality auto only; leave it out, or choose that quality"
                )
            return
        given = [name for name in (*CHOSEN_BY_AUTO, *_OWNERS) if getattr(self, name, None) is not None]
        if given:
            raise ValueError(
                f"--quality auto chooses the model, so {', '.join(map(option, given))} cannot be given too; leave it out, or give "
                "another quality"
            )

    @property
    def is_auto(self) -> bool:
        """Whether the model is chosen for the images: asked for, or the default and nothing says what it would choose."""
        if self.quality != "auto" or "quality" in self.model_fields_set:
            return self.quality == "auto"
        return all(getattr(self, name, None) is None for name in (*CHOSEN_BY_AUTO, *_OWNERS))

    @property
    def model_choice(self) -> ModelChoice:
        """Detector and backbone: those given, else those of the quality; of `auto` those of its first candidate."""
        if self.is_auto:
            return ModelChoice(CANDIDATES[0].detector, CANDIDATES[0].backbone)
        if self.detector is not None:
            return ModelChoice(self.detector, self.backbone or "efficientnet_lite0")
        quality: Quality = WITHOUT_CHOICE if self.quality == "auto" else self.quality
        choice = QUALITIES[quality]
        return ModelChoice(choice.detector, self.backbone or choice.backbone)


class ModelSettings(ChoiceSettings):
    """What it is like."""

    title: ClassVar[str] = "model"

    width: Side | None = Field(
        None,
        description="width of the model's input in pixels, a multiple of 32 or of a vision transformer's patch size (default: chosen from the images)",
    )
    height: Side | None = Field(None, description="height of the model's input, given together with --width")
    tile: int | None = Field(
        None,
        ge=LEAST_TILE,
        description="for small defects in large images: cut each image into overlapping squares of N pixels; each square is a"
        " model input of that size, unless --width and --height are given; the image still gets one score, map and verdict",
    )
    tile_overlap: int | None = Field(
        None,
        ge=0,
        description="minimum overlap of the squares in pixels; a defect up to this size lies entirely within one "
        "square (default: a quarter of --tile)",
    )
    feature_normalization: FeatureNormalization | None = Field(
        None,
        description="how features are normalised: level keeps contrast; vector removes it, for changing light; both "
        "(fused only): vector for the Gaussians, level for the memory (default: level; with fused: both)",
    )
    complexity: int | None = Field(None, ge=1, le=256, description="student: width of the network (default: 10)")
    coreset: int | None = Field(
        None, ge=1, le=100_000, description="patchcore, fused: number of patches in the memory (default: 4000)"
    )
    score_rule: str | None = Field(
        None,
        description="how the score is calculated from the heat map: max, top-k:SHARE or std:FACTOR (default: "
        "top-k:0.01)",
    )

    @field_validator("score_rule")
    @classmethod
    def _is_rule(cls, value: str | None) -> str | None:
        if value is not None:
            parse_score_rule(value)
        return value

    @model_validator(mode="after")
    def _has_normalization(self) -> Self:
        detector = self.model_choice.detector
        if self.feature_normalization == "both" and detector != "fused":
            raise ValueError(
                f"--feature-normalization both is for fused, which has two parts; give level or vector with {detector}"
            )
        return self

    @model_validator(mode="after")
    def _has_whole_size(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("--width and --height must be given together")
        names = ("tile",) if self.tile and not self.width else ("width", "height")
        sides = [(name, side) for name in names if (side := getattr(self, name)) is not None]
        for name, side in sides if self.model_choice.backbone in LITE_NAMES else []:
            if side % SIZE_STEP:
                raise ValueError(f"{option(name)} must be a multiple of {SIZE_STEP}, got {side}")
        return self

    @model_validator(mode="after")
    def _has_whole_tiles(self) -> Self:
        tile, overlap = self.tile, self.tile_overlap
        if tile is None:
            if overlap is not None:
                raise ValueError("--tile-overlap needs --tile; say how large the tiles are, or leave it out")
            return self
        if overlap is not None and overlap > tile // 2:
            raise ValueError(f"--tile-overlap must be at most half of --tile, here {tile // 2} pixels, got {overlap}")
        if self.width != self.height:
            raise ValueError(
                f"--tile cuts squares, so --width and --height must be equal, got {self.width} and {self.height}"
            )
        if self.width is None and tile > MAX_INPUT_SIZE:
            raise ValueError(
                f"a model input has at most {MAX_INPUT_SIZE} pixels per side, got --tile {tile}; also give --width "
                "and --height, the size to which each tile is reduced"
            )
        domain = getattr(self, "domain", None)
        if (domain is not None and not is_rectangle(domain)) or getattr(self, "domain_handling", None) == "keep_domain":
            raise ValueError(
                "--tile cuts a rectangle: give --domain as x,y,width,height, and no --domain-handling keep_domain"
            )
        if getattr(self, "cache", None) is not None:
            raise ValueError("--cache and --tile cannot be combined; leave one of them out")
        return self


class PreprocessSettings(Group):
    """What images go through."""

    title: ClassVar[str] = "preprocessing"

    domain: str | None = Field(
        None,
        description="the area to inspect: x,y,width,height, or a polygon 'x,y x,y x,y', in pixels of the images",
    )
    domain_handling: DomainHandling | None = Field(
        None,
        description="with --domain: crop_domain: the network sees the bounding box of the area; keep_domain: it sees "
        "the whole picture (default: crop_domain)",
    )
    normalization_type: NormalizationType | None = Field(
        None, description="how gray values are normalised (default: constant_values)"
    )
    preprocess_param: Path | None = Field(
        None,
        description="file written by write_dl_preprocess_param, to use instead of these options and --width and "
        "--height; it may contain preprocessing steps of your own (see: python -m pydoc "
        "inspector.anomaly.preprocess.steps)",
    )
    cache: Path | None = Field(
        None,
        description="folder in which preprocessed images are kept, so that the next fit with the same images and "
        "parameters is faster",
    )
    overwrite_cache: bool = Field(
        False, description="empty the --cache folder first; needed if it was made from other images or parameters"
    )

    @field_validator("domain")
    @classmethod
    def _is_domain(cls, value: str | None) -> str | None:
        if value is not None:
            parse_domain(value)
        return value

    @model_validator(mode="after")
    def _is_said_once(self) -> Self:
        if self.domain_handling is not None and (self.domain is None) != (self.domain_handling == "full_domain"):
            raise ValueError(
                f"--domain-handling {self.domain_handling} does not go with{'out' * (not self.domain)} --domain"
            )
        if self.overwrite_cache and self.cache is None:
            raise ValueError("--overwrite-cache needs --cache; say which folder, or leave it out")
        if self.preprocess_param is not None:
            names = ("domain", "domain_handling", "normalization_type", "width", "height", "tile")
            twice = [option(name) for name in names if getattr(self, name, None) is not None]
            if twice:
                raise ValueError(f"--preprocess-param already sets {', '.join(twice)}; leave one of them out")
        return self


class TrainSettings(Group):
    """How it is trained."""

    title: ClassVar[str] = "training"

    max_num_epochs: int | None = Field(
        None,
        ge=1,
        description="student: number of passes over the images (default: as many as are needed to show "
        "about 3,000 images)",
    )
    error_threshold: float | None = Field(
        None, ge=0, le=1, description="student: stop the training at this error (default: 0.001)"
    )
    domain_ratio: Share | None = Field(
        None,
        gt=0,
        le=1,
        description="student: share of the positions used in each epoch; patchcore: share of the patches considered "
        "(default: 1)",
    )
    regularization_noise: float | None = Field(
        None, ge=0, description="student, padim, fused: standard deviation of noise added to the features (default: 0)"
    )
    camera_tolerance: float | None = Field(
        None,
        ge=0,
        description="student, padim, fused: how much of what a camera changes without the part is accepted, in units of noise of "
        "one gray value, 2 % of light and JPEG of quality 90 (default: 1; 0: only what the images show)",
    )
    augment: str | None = Field(
        None,
        description="also train on modified copies of the images, for example "
        "flip-horizontal,flip-vertical,rotation=5,brightness=0.1,copies=1",
    )
    drop_suspects: int = Field(
        0,
        ge=0,
        description="leave out the N ok images that are least like the others; first look at the suspects that an "
        "earlier fit named",
    )
    checkpoint: Path | None = Field(
        None, description="student: folder for checkpoints; an interrupted training continues from there"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of all random choices")
    device: str = Field("cpu", description=DEVICE_HELP)

    @field_validator("augment")
    @classmethod
    def _is_augmentation(cls, value: str | None) -> str | None:
        if value is not None:
            parse_augmentation(value)
        return value


class OutputSettings(Group):
    """What is written."""

    title: ClassVar[str] = "output"

    out: Path = Field(description="folder to write the model bundle to")
    name: str | None = Field(
        None, pattern=NAME_PATTERN, description="name of the model (default: the name of the bundle's folder)"
    )
    overwrite: bool = Field(False, description="replace an existing bundle")
    not_worse_than: Annotated[Path | None, Argument("BUNDLE")] = Field(
        None,
        description="bundle of the model in use: write nothing if an exact paired test shows that the new model is "
        "worse on the test images",
    )
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object instead of the table")


class LearningSettings(
    ThresholdSettings,
    TrainSettings,
    PreprocessSettings,
    ModelSettings,
    SplitSettings,
    SourceSettings,
):
    """Everything that determines the outcome of a fit."""


class FitSettings(OutputSettings, LearningSettings):
    """Train a model on ok images, set its thresholds, test it, and write its bundle and report.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage, 130 interrupted.
    """
