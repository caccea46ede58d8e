"""evaluate_dl_model: chooses images of a data set, scores them as `trainer apply` does, and measures the model with them.

An anomaly image is counted and then dropped, so that memory does not grow with the number of images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.errors import UncalibratedError
from inspector.anomaly.model.model import AnomalyModel, trained_model
from inspector.anomaly.types import DLResult
from inspector.anomaly.verdict.upsample import resize_anomaly_image
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.errors import EvaluationError
from trainer.evaluation.param import PIXEL_MEASURES, GenParamEval
from trainer.evaluation.pixel_measures import PixelMeasures
from trainer.evaluation.result import EvaluationResult, evaluate_scores
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.progress import StageProgress
from trainer.wording import some

SampleSelectMethod = Literal["split", "image_ids", "sample_indices"]

OnScored = Callable[[DLDatasetSample, ScoredImage], None]


def evaluate_dl_model(
    dataset: DLDataset,
    model: AnomalyModel,
    sample_select_method: SampleSelectMethod = "split",
    values: str | int | Sequence[str] | Sequence[int] = "test",
    gen_param_eval: GenParamEval | None = None,
    *,
    progress: StageProgress | None = None,
    on_scored: OnScored | None = None,
) -> EvaluationResult:
    """Measure a model on labelled images.

    Maps are compared with masks in the size of the original image. A nok image without a mask has no part in the pixel
    measures; where no image chosen has one, these are None. Pixels outside the model's domain have no part in them either,
    so a region that lies outside is none.

    Args:
        dataset: What `split_dl_dataset` divided, or any with labels.
        model: With thresholds: the verdicts at its own are judged, whatever `gen_param_eval` adds.
        sample_select_method: What `values` are.
        values: One or several names of splits, image_ids, or indices into the samples of the data set.
        gen_param_eval: What to measure; by default all that needs no further threshold.
        progress: Told of each image, as stage "evaluate".
        on_scored: Given each sample with its picture and thresholded result, in order, for whoever draws them.

    Raises:
        EvaluationError: No image fits the selection, an image is named twice or cannot be read any more.
        DatasetError: A mask cannot be read any more, or images were turned otherwise than the model turns them.
        UncalibratedError: The model has no thresholds.
        ParameterError: It is not trained.
    """
    param = gen_param_eval or GenParamEval()
    model = trained_model(model)
    dataset.check_orientation(model.preprocess_param)
    samples = select_samples(dataset, sample_select_method, values)
    if model.thresholds is None:
        raise UncalibratedError(f"model {model.name} has no thresholds to evaluate; calibrate it first")
    has_masks = any(sample.anomaly_file_name for sample in samples)
    pixels = PixelMeasures() if has_masks and param.wanted & set(PIXEL_MEASURES) else None
    with _shown(progress, visible=param.show_progress and progress is None) as report:
        scores = score_samples(dataset, model, samples, pixels, report, on_scored)
    return evaluate_scores(
        scores,
        [sample.image_label for sample in samples],
        model.thresholds.classification,
        pixels,
        gen_param_eval=param,
        image_ids=[sample.image_id for sample in samples],
    )


def select_samples(
    dataset: DLDataset, method: SampleSelectMethod, values: str | int | Sequence[str] | Sequence[int]
) -> tuple[DLDatasetSample, ...]:
    """Choose the samples to evaluate: those of splits in the order of the data set, others as they are named.

    Raises:
        EvaluationError: The method is unknown, no sample fits a value, or a sample is named twice.
    """
    wanted: list[str | int] = [values] if isinstance(values, str | int) else list(values)
    if not wanted:
        raise EvaluationError(f"no {method} to evaluate; give at least one")
    twice = [value for value, count in Counter(wanted).items() if count > 1]
    if twice:
        raise EvaluationError(
            f"{method} {some(twice)} is named twice; give it once, because each image may count only once"
        )
    if method == "split":
        return _of_splits(dataset, wanted)
    if method == "image_ids":
        known: dict[object, DLDatasetSample] = {sample.image_id: sample for sample in dataset.samples}
    elif method == "sample_indices":
        known = dict(enumerate(dataset.samples))
    else:
        raise EvaluationError(f"samples cannot be selected by {method!r}; give split, image_ids or sample_indices")
    strangers = [value for value in wanted if value not in known]
    if strangers:
        raise EvaluationError(
            f"none of the {len(known)} samples of {dataset.image_dir} has {method} {some(strangers)}; they are 0 to "
            f"{len(known) - 1} unless samples were removed"
        )
    return tuple(known[value] for value in wanted)


def _of_splits(dataset: DLDataset, names: Sequence[object]) -> tuple[DLDatasetSample, ...]:
    there = {sample.split for sample in dataset.samples}
    for name in names:
        if name not in there:
            known = (
                ", ".join(sorted(split for split in there if split))
                or "none; call split_dl_dataset first, or select by image_ids"
            )
            raise EvaluationError(f"no sample of {dataset.image_dir} is in the split {name!r}; its splits are {known}")
    return tuple(sample for sample in dataset.samples if sample.split in names)


def score_samples(
    dataset: DLDataset,
    model: AnomalyModel,
    samples: Sequence[DLDatasetSample],
    pixels: PixelMeasures | None,
    progress: StageProgress,
    on_scored: OnScored | None = None,
) -> list[float]:
    """Score samples in batches, in their order, and count the pixels of those whose mask is known.

    Raises:
        EvaluationError: An image cannot be scored.
        DatasetError: A mask cannot be read any more.
        UncalibratedError: The model has no thresholds.
    """
    scores: list[float] = []
    with closing(score_images(model, [dataset.image_path(sample) for sample in samples])) as images:
        for sample, image in zip(samples, images, strict=True):
            if image.result is None:
                raise EvaluationError(f"image {image.path} {image.error}; repair it, or leave it out of the evaluation")
            scores.append(image.result.anomaly_score)
            mask = dataset.read_mask(sample) if pixels is not None else None
            if pixels is not None and mask is not None:
                _count_pixels(pixels, image.result, mask)
            if on_scored is not None:
                on_scored(sample, image)
            progress("evaluate", len(scores), len(samples))
    return scores


def _count_pixels(pixels: PixelMeasures, result: DLResult, mask: NDArray[np.bool_]) -> None:
    """Count the map where it lies in the picture, and only what the model's domain says counts."""
    (height, width), view = mask.shape, result.view
    whole = resize_anomaly_image(result.anomaly_image, width=width, height=height, view=view)
    pixels.add(whole, mask, None if view is None else pixels_inside(view.domain, width, height))


@contextmanager
def _shown(progress: StageProgress | None, *, visible: bool) -> Iterator[StageProgress]:
    """Tell the caller, and draw a bar of our own where it was asked."""
    with Progress(console=Console(stderr=True), disable=not visible) as bar:
        task = bar.add_task("evaluate", total=None)

        def report(stage: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if progress is not None:
                progress(stage, done, total)

        yield report
