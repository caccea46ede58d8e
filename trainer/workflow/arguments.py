"""Turns the settings of a command into the arguments of the chapter's procedures: source, split, model, preprocessing."""

from __future__ import annotations

from inspector.anomaly.choices import GeometryRule
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.model.access import set_dl_model_param
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.param import INITIAL_MODEL_NAMES, DLModelParam, InitialModel
from inspector.anomaly.preprocess.file import read_dl_preprocess_param
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param_from_model
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import ImageGeometry
from inspector.anomaly.verdict.score import ScoreRule
from trainer.archives.opened import open_archive
from trainer.dataset.archive import list_archive
from trainer.dataset.dataset import DLDataset
from trainer.dataset.manifest import list_manifest
from trainer.dataset.read import load_listing
from trainer.listing.folders import DatasetParam, list_folders
from trainer.listing.listing import Listing
from trainer.prepare.split import CALIBRATION_PERCENT, HELD_OUT_MIN, PROOF_MIN, SplitParam
from trainer.progress import StageProgress
from trainer.settings.candidates import CANDIDATES
from trainer.settings.fit import LearningSettings, PreprocessSettings
from trainer.settings.source import SourceSettings
from trainer.settings.syntax import parse_augmentation, parse_domain, parse_score_rule
from trainer.thresholds.estimate import ThresholdParam
from trainer.training.network import default_input_size
from trainer.training.train_param import DLTrainParam, create_dl_train_param


def read_dataset(
    settings: SourceSettings, progress: StageProgress, geometry_rule: GeometryRule, *, apply_exif: bool
) -> DLDataset:
    """Read the images of the source that was given.

    Args:
        settings: Say the source.
        progress: Told of each image.
        geometry_rule: Whether images of any size and aspect are taken.
        apply_exif: Whether they are turned upright as their EXIF flag says.

    Raises:
        DatasetError: See `read_dl_dataset_anomaly`, `read_dl_dataset_manifest` and `read_dl_dataset_archive`.
    """
    listing = list_source(settings, progress)
    skip = settings.skip_unreadable
    return load_listing(listing, progress, geometry_rule, apply_exif=apply_exif, skip_unreadable=skip)


def list_source(settings: SourceSettings, progress: StageProgress) -> Listing:
    """List the images of the source that was given; none is opened. Those of an archive in a store are fetched.

    Raises:
        DatasetError: As `read_dataset`.
    """
    if settings.manifest is not None:
        return list_manifest(settings.manifest)
    if settings.archive is not None:
        times = settings.captured_from, settings.captured_to
        names = settings.line or "", settings.camera or ""
        place = open_archive(settings.archive, settings.archive_cache, settings.config)
        return list_archive(place, *names, *times, include_near=settings.include_near, progress=progress)
    param = DatasetParam(
        group_pattern=settings.group_pattern,
        ok_folders=settings.ok_folder,
        label_pattern=settings.label_pattern,
    )
    return list_folders(settings.image_dirs, settings.anomaly_dir, param, all_ok=settings.all_ok)


def split_param(settings: LearningSettings) -> SplitParam:
    """How the images are divided, besides the percentages; suspects are found among images that have folds.

    A bound that is asked for is worth more proven, which takes held-out images: these are held out earlier then.
    """
    return SplitParam(
        group_by=settings.group_by,
        time_window_minutes=settings.time_window_minutes,
        held_out_min=HELD_OUT_MIN if settings.max_false_rejects is None else PROOF_MIN,
        max_train=settings.max_train,
        calibration_percent=0 if settings.drop_suspects else CALIBRATION_PERCENT,
    )


def preprocessing(settings: LearningSettings, model: InitialModel, geometry: ImageGeometry) -> DLPreprocessParam:
    """The preprocessing asked for; the model's size, channels and range must be set already.

    Raises:
        ParameterError: The domain reaches outside the pictures, or the file's parameters are not for such a model.
        GeometryError: The file has a domain, and the pictures are of any size and aspect.
    """
    if settings.preprocess_param is not None:
        param = read_dl_preprocess_param(settings.preprocess_param)
        if geometry.rule == "any":
            geometry.check_domain(param.domain)
        return param
    domain = domain_of(settings, geometry)
    return create_dl_preprocess_param_from_model(
        model,
        normalization_type=settings.normalization_type or "constant_values",
        domain_handling=settings.domain_handling or ("crop_domain" if domain else "full_domain"),
        domain=domain,
        tile=_tile(settings),
        apply_exif=settings.apply_exif,
    )


def _tile(settings: LearningSettings) -> TileParam | None:
    side, overlap = settings.tile, settings.tile_overlap
    if side is None:
        return None
    return (
        TileParam(width=side, height=side) if overlap is None else TileParam(width=side, height=side, overlap=overlap)
    )


def domain_of(settings: PreprocessSettings, geometry: ImageGeometry) -> ImageDomain | None:
    """The domain, drawn on the typical picture.

    Raises:
        ParameterError: It reaches outside.
    """
    if settings.domain is None:
        return None
    return ImageDomain.of_polygons(
        parse_domain(settings.domain), image_width=geometry.width, image_height=geometry.height
    )


def initial_model(settings: LearningSettings, geometry: ImageGeometry) -> InitialModel:
    """The model to be trained, with all that was asked for set; of `--quality auto` the first candidate.

    Raises:
        BundleError: The device is not there.
        ParameterError: The domain reaches outside the pictures, or the file of preprocessing parameters cannot be read.
    """
    detector, backbone = settings.model_choice
    model = read_dl_model(INITIAL_MODEL_NAMES[detector], device=settings.device)
    # What else is set has to suit the backbone.
    set_dl_model_param(model, "backbone", backbone)
    wanted: dict[str, object] = {"weights": None if settings.weights is None else str(settings.weights)}
    if settings.preprocess_param is not None:
        param = read_dl_preprocess_param(settings.preprocess_param)
        names = ("image_width", "image_height", "image_num_channels", "image_range_min", "image_range_max")
        wanted |= {name: getattr(param, name) for name in names}
    else:
        usual = default_input_size(_seen(settings, geometry), size_step=model.param.size_step)
        width, height = (settings.tile, settings.tile) if settings.tile else usual
        wanted |= {"image_width": settings.width or width, "image_height": settings.height or height}
    wanted |= {name: getattr(settings, name) for name in ("complexity", "coreset", "feature_normalization")}
    if settings.score_rule is not None:
        wanted["score_rule"] = score_rule(settings.score_rule)
    for name, value in wanted.items():
        if value is not None:
            set_dl_model_param(model, name, value)
    return model


def candidate_params(settings: LearningSettings, geometry: ImageGeometry) -> list[DLModelParam]:
    """The models that `--quality auto` chooses among, the default first, with all else that was asked for.

    Raises:
        ParameterError: The domain reaches outside the pictures.
    """
    seen, found = _seen(settings, geometry), []
    further = {} if settings.score_rule is None else {"score_rule": score_rule(settings.score_rule)}
    for choice in CANDIDATES:
        width, height = default_input_size(seen, short_side=choice.short_side)
        values = {
            "detector": choice.detector,
            "backbone": choice.backbone,
            "feature_normalization": choice.feature_normalization,
            "image_width": width,
            "image_height": height,
            "device": settings.device,
        }
        found.append(DLModelParam.model_validate(values | further))
    return found


def _seen(settings: PreprocessSettings, geometry: ImageGeometry) -> ImageGeometry:
    """What the model sees of the typical picture: the domain's box, or all."""
    is_crop = settings.domain_handling in {None, "crop_domain"}
    return geometry.cropped(domain_of(settings, geometry)) if is_crop else geometry


def score_rule(text: str) -> ScoreRule:
    """The rule that `--score-rule` names."""
    kind, number = parse_score_rule(text)
    return ScoreRule(
        kind=kind,
        top_share=number if kind == "mean_of_top" else None,
        standard_deviation_factor=number if kind == "standard_deviation" else None,
    )


def train_param(settings: LearningSettings, model: InitialModel) -> DLTrainParam:
    """How it is trained.

    Raises:
        ParameterError: The detector has no such parameter.
    """
    return create_dl_train_param(
        model,
        max_num_epochs=settings.max_num_epochs,
        error_threshold=settings.error_threshold,
        domain_ratio=settings.domain_ratio,
        regularization_noise=settings.regularization_noise,
        camera_tolerance=settings.camera_tolerance,
        seed=settings.seed,
        augmentation=None if settings.augment is None else parse_augmentation(settings.augment),
    )


def threshold_param(settings: LearningSettings) -> ThresholdParam:
    """How the thresholds are found: never by ok test images, not even with HALCON's methods."""
    method = settings.threshold_method
    if method != "ok_only":  # whose settings the others have not
        return ThresholdParam(method=method, image_split="validation")
    if settings.max_false_rejects is None:
        return ThresholdParam(
            false_rejects=settings.false_rejects, confidence=settings.confidence, image_split="validation"
        )
    return ThresholdParam(
        max_false_rejects=settings.max_false_rejects,
        confidence=settings.confidence,
        rule=settings.threshold_rule,
        image_split="validation",
    )
