"""Score image files with a model, in batches, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from inspector.anomaly.errors import AnomalyError
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.network.cores import usable_cores
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.types import DLResult, DLSample
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.dataset.files import READ_LIMITS

BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """One decoded image with its thresholded result, or why there is none."""

    path: Path
    result: DLResult | None
    error: str | None = None


def score_images(model: AnomalyModel, paths: Sequence[Path], *, batch_size: int = BATCH_SIZE) -> Iterator[ScoredImage]:
    """Decode, check, score and threshold images in batches; yields one outcome a path, in order.

    Raises:
        UncalibratedError: The model has no thresholds.
    """
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode") as pool:
        for start in range(0, len(paths), batch_size):
            chunk = paths[start : start + batch_size]
            decoded = list(pool.map(lambda path: _decode(model, path), chunk))
            samples = [sample for sample in decoded if isinstance(sample, DLSample)]
            results = iter(apply_dl_model(model, samples, batch_size=batch_size) if samples else [])
            for path, sample in zip(chunk, decoded, strict=True):
                if isinstance(sample, DLSample):
                    yield ScoredImage(path, threshold_dl_anomaly_results(model, sample, next(results)))
                else:
                    yield ScoredImage(path, None, sample)


def _decode(model: AnomalyModel, path: Path) -> DLSample | str:
    """The image, or the reason why it cannot be scored."""
    try:
        param = model.preprocess_param
        sample = decode_image(
            path.read_bytes(), target=param.decode_target, margin=param.decode_margin, limits=READ_LIMITS
        )
        model.check_geometry(sample)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except AnomalyError as error:
        return str(error)
    return sample
