"""The result of an evaluation, computed from scores, labels and counted pixels; needs no image and no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import EvaluationError
from trainer.evaluation.confusion import (
    ConfusionMatrix,
    Counts,
    ScoreHistogram,
    anomaly_score_histogram,
    confusion_matrix,
)
from trainer.evaluation.image_measures import (
    FALSE_REJECT_RATES,
    BestF1,
    ImageScores,
    RecallAtRate,
    auroc,
    average_precision,
    f1_max,
    image_scores,
    recall_at_false_rejects,
)
from trainer.evaluation.param import THRESHOLD_MEASURES, EvalMeasure, GenParamEval
from trainer.evaluation.pixel_measures import PixelMeasures
from trainer.rates import Rate, binomial_rate


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What `evaluate_dl_model` found; None where the test set cannot say, or where it was not asked."""

    measures: frozenset[EvalMeasure]
    """What was asked."""
    anomaly_score_histogram: ScoreHistogram
    image_auroc: float | None
    image_ap: float | None
    """Average precision of nok."""
    image_f1_max: BestF1 | None
    recall_at: tuple[RecallAtRate, ...]
    """Recall at rates of false rejects of 1 % and 5 %; empty where a class is."""
    pixel_auroc: float | None
    pixel_auroc_error: float | None
    """Largest error of `pixel_auroc` that the binning can have made on these very pixels; so for the next two."""
    pixel_ap: float | None
    pixel_ap_error: float | None
    aupro: float | None
    """Up to a false-positive rate of 0.3."""
    aupro_error: float | None
    n_pixel_images: int
    """Images that took part in the pixel measures: all ok ones and the nok ones with a mask."""
    n_regions: int
    """Regions of the masks, for `aupro`."""
    classification_threshold: float
    """The model's own: the verdicts of the next four are by it."""
    false_rejects: Rate
    """ok images that are called nok."""
    missed: Rate
    """nok images that are called ok."""
    found: Rate
    """nok images that are called nok."""
    true_alarms: Rate
    """Images called nok that are."""
    confusion: tuple[ConfusionMatrix, ...]
    """HALCON's measures at each of `anomaly_classification_thresholds`; empty where none of them was asked."""
    anomaly_scores: tuple[float, ...]
    """Score of each image, as the model gave it."""
    image_labels: tuple[AnomalyClass, ...]
    """Label of each score."""
    image_ids: tuple[int, ...] = ()
    """image_id of each score, where images were evaluated."""

    @property
    def recall(self) -> float | None:
        """Share of nok images found at the model's threshold."""
        return self.found.rate

    @property
    def precision(self) -> float | None:
        """Share of nok images among those called nok at the model's threshold."""
        return self.true_alarms.rate

    @property
    def absolute_confusion_matrix(self) -> Counts:
        """At the model's threshold: rows predicted, columns true: ((ok as ok, nok as ok), (ok as nok, nok as nok))."""
        ok, nok = self.false_rejects, self.missed
        return (ok.total - ok.count, nok.count), (ok.count, nok.total - nok.count)

    @property
    def judged(self) -> tuple[ConfusionMatrix, ...]:
        """Verdicts at each threshold that was asked; at the model's own where none was."""
        own = ConfusionMatrix(self.classification_threshold, self.absolute_confusion_matrix)
        return self.confusion or (own,)

    def scores_of(self, label: AnomalyClass) -> tuple[float, ...]:
        """Scores of the images of a class, in their order."""
        return tuple(s for s, own in zip(self.anomaly_scores, self.image_labels, strict=True) if own == label)

    def recall_at_rate(self, max_rate: float) -> RecallAtRate | None:
        """The recall at a rate of false rejects, where it is known."""
        return next((recall for recall in self.recall_at if recall.max_rate == max_rate), None)


def evaluate_scores(
    scores: Sequence[float],
    labels: Sequence[AnomalyClass],
    classification_threshold: float,
    pixels: PixelMeasures | None = None,
    *,
    gen_param_eval: GenParamEval | None = None,
    image_ids: Sequence[int] = (),
) -> EvaluationResult:
    """Take every measure of scores that are there already.

    Nothing here chooses a threshold: the model's own is judged.

    Args:
        scores: anomaly_score of each test image; a non-finite one is nok and ranks above all others.
        labels: image_label of each test image.
        classification_threshold: The threshold that ships; a score that reaches it is nok.
        pixels: Filled with the anomaly images, where there are masks.
        gen_param_eval: What to measure; by default all that needs no further threshold.
        image_ids: image_id of each test image, kept in the result.

    Raises:
        EvaluationError: Not as many labels or ids as scores, an unknown label, or a threshold that is not a number.
    """
    param = gen_param_eval or GenParamEval()
    if math.isnan(classification_threshold):
        raise EvaluationError(
            "the classification threshold is not a number, so no score would reach it; calibrate the model first"
        )
    if image_ids and len(image_ids) != len(scores):
        raise EvaluationError(
            f"got {len(scores)} scores and {len(image_ids)} image_ids; give one image_id for each score"
        )
    parted = image_scores(scores, labels)
    wanted = param.wanted
    verdicts = confusion_matrix(parted, classification_threshold).absolute
    (_, missed), (rejected, found) = verdicts
    auroc_error, ap_error, pro_error = _pixel_figures(pixels, wanted)
    thresholds = param.anomaly_classification_thresholds if wanted & set(THRESHOLD_MEASURES) else ()
    return EvaluationResult(
        measures=wanted,
        anomaly_score_histogram=anomaly_score_histogram(parted),
        image_auroc=auroc(parted.ok, parted.nok) if "image_auroc" in wanted else None,
        image_ap=average_precision(parted) if "image_ap" in wanted else None,
        image_f1_max=f1_max(parted) if "image_f1_max" in wanted else None,
        recall_at=_recalls(parted) if "recall_at_false_rejects" in wanted else (),
        pixel_auroc=auroc_error[0],
        pixel_auroc_error=auroc_error[1],
        pixel_ap=ap_error[0],
        pixel_ap_error=ap_error[1],
        aupro=pro_error[0],
        aupro_error=pro_error[1],
        n_pixel_images=pixels.n_images if pixels else 0,
        n_regions=pixels.n_regions if pixels else 0,
        classification_threshold=classification_threshold,
        false_rejects=binomial_rate(rejected, len(parted.ok)),
        missed=binomial_rate(missed, len(parted.nok)),
        found=binomial_rate(found, len(parted.nok)),
        true_alarms=binomial_rate(found, found + rejected),
        confusion=tuple(confusion_matrix(parted, threshold) for threshold in thresholds),
        anomaly_scores=tuple(map(float, scores)),
        image_labels=tuple(labels),
        image_ids=tuple(image_ids),
    )


_Bounded = tuple[float, float] | tuple[None, None]


def _pixel_figures(pixels: PixelMeasures | None, wanted: frozenset[EvalMeasure]) -> tuple[_Bounded, _Bounded, _Bounded]:
    """Pixel AUROC, pixel average precision and AUPRO, each with its bound of error."""
    nothing = (None, None)
    if pixels is None:
        return nothing, nothing, nothing
    return (
        (pixels.auroc() or nothing) if "pixel_auroc" in wanted else nothing,
        (pixels.average_precision() or nothing) if "pixel_ap" in wanted else nothing,
        (pixels.aupro() or nothing) if "aupro" in wanted else nothing,
    )


def _recalls(scores: ImageScores) -> tuple[RecallAtRate, ...]:
    recalls = (recall_at_false_rejects(scores, rate) for rate in FALSE_REJECT_RATES)
    return tuple(recall for recall in recalls if recall is not None)
