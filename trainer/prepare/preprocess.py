"""A data set's preprocessed samples on disk: preprocess_dl_dataset writes them, read_dl_samples reads them back.

    dl_dataset.json                              parameters, digest and the list of samples; written first
    samples/<image_id>_dlsample.safetensors      image (3, h, w) float32, anomaly_ground_truth (h, w) uint8 where known

Every file is written under another name and renamed, so every file is complete, and a run that was killed continues
where it ended. The digest covers the parameters, the steps' versions, the decoder and the source files: if any
of these changes, old samples are not used again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inspector.anomaly.errors import AnomalyError, ParameterError
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import preprocess_dl_samples
from inspector.anomaly.preprocess.steps import check_preprocess_steps
from inspector.anomaly.types import DLSample
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.errors import DatasetError, OutputError
from trainer.pictures.files import read_ahead, read_picture
from trainer.pictures.marks import mask_files
from trainer.prepare.sample_store import is_there, prepare_store, read_sample, write_sample
from trainer.progress import StageProgress


@dataclass(frozen=True, slots=True)
class _Plan:
    """One sample, the file that it is to be in, and the digest of what it is made from."""

    sample: DLDatasetSample
    file_name: str
    digest: str


def preprocess_dl_dataset(
    dataset: DLDataset,
    data_directory: Path | str,
    preprocess_param: DLPreprocessParam,
    *,
    overwrite_files: bool = False,
    progress: StageProgress | None = None,
) -> DLDataset:
    """Preprocess every image of a data set to disk, as the procedure of that name does.

    A directory that was made from the same images with the same parameters is used again, and completed where it is not
    complete. The memory taken does not grow with the number of images.

    Args:
        dataset: As `read_dl_dataset_anomaly` gives it.
        data_directory: Made where it is missing.
        preprocess_param: The stored parameters.
        overwrite_files: Delete a directory that this procedure made before, whatever it holds, and start anew. Another
            directory is never touched.
        progress: Told of each sample, as stage "preprocess"; at first how many are there already.

    Returns:
        The data set with `preprocess_param`, `dlsample_dir`, and the `dlsample_file_name` of each sample.

    Raises:
        DatasetError: An image or mask cannot be read, or was changed since the data set was read; names it.
        OutputError: The directory holds something else, or was made otherwise, or cannot be written.
        StepError: An own step is not installed.
        ParameterError: The parameters cut pictures into tiles.
    """
    directory = Path(data_directory)
    check_preprocess_steps(preprocess_param)
    dataset.check_orientation(preprocess_param)
    if preprocess_param.tile is not None:
        raise ParameterError(
            "tiles cannot be preprocessed to disk, where they would need up to twenty times the space of their "
            "pictures; leave out the cache or the tiles: a fit cuts the tiles as it goes"
        )
    plans = [_plan(dataset, sample, preprocess_param) for sample in dataset.samples]
    if len({plan.file_name for plan in plans}) != len(plans):
        raise DatasetError("two samples have the same image_id; give each a different one")
    try:
        folder = prepare_store(directory, _content(plans, preprocess_param), overwrite=overwrite_files)
        _write_all(dataset, folder, plans, preprocess_param, progress)
    except OSError as exc:
        raise OutputError.unwritable(directory, exc) from exc
    samples = tuple(replace(plan.sample, dlsample_file_name=plan.file_name) for plan in plans)
    return replace(dataset, samples=samples, preprocess_param=preprocess_param, dlsample_dir=folder)


def read_dl_samples(dataset: DLDataset, samples: Sequence[DLDatasetSample]) -> Iterator[DLSample]:
    """Read preprocessed samples back, one at a time.

    Args:
        dataset: As `preprocess_dl_dataset` returns it.
        samples: Some of its samples, in any order.

    Yields:
        Samples with `preprocessed`, its digest and `anomaly_ground_truth` in the size of the network's input; `image`
        has no pixel.

    Raises:
        DatasetError: The data set was not preprocessed, or a file is missing, damaged, or made from something else.
    """
    param, directory = dataset.preprocess_param, dataset.dlsample_dir
    if param is None or directory is None:
        raise DatasetError("the data set is not preprocessed; run preprocess_dl_dataset first")
    for sample in samples:
        if sample.dlsample_file_name is None:
            raise DatasetError(f"{sample.image_file_name} is not preprocessed; run preprocess_dl_dataset first")
        path = directory / sample.dlsample_file_name
        tensors, digest = read_sample(path)
        if digest != _plan(dataset, sample, param).digest:
            raise DatasetError(
                f"{path} was made from another image, mask or parameters; run preprocess_dl_dataset again"
            )
        truth = tensors.get("anomaly_ground_truth")
        yield DLSample(
            np.empty((0, 0), np.uint8),
            original_width=sample.width,
            original_height=sample.height,
            channels=sample.channels,
            image_id=sample.image_id,
            image_file_name=sample.image_file_name,
            image_label=sample.image_label,
            anomaly_file_name=sample.anomaly_file_name,
            anomaly_ground_truth=None if truth is None else truth.numpy() > 0,
            preprocessed=tensors["image"],
            preprocess_digest=param.digest,
        )


def _plan(dataset: DLDataset, sample: DLDatasetSample, param: DLPreprocessParam) -> _Plan:
    mask = dataset.mask_path(sample)
    parts = (
        param.digest,
        sample.digest,
        sample.image_label,
        *(["none"] if mask is None else map(_file_digest, mask_files(mask))),
    )
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return _Plan(sample, f"{sample.image_id}_dlsample.safetensors", digest)


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise DatasetError(f"mask {path} cannot be read ({exc.strerror}); replace or remove it") from exc


def _content(plans: Sequence[_Plan], param: DLPreprocessParam) -> dict[str, Any]:
    """What `dl_dataset.json` says; its digest tells this data set and these parameters from all others."""
    return {
        "digest": hashlib.sha256("\n".join(f"{plan.file_name} {plan.digest}" for plan in plans).encode()).hexdigest(),
        "preprocess_param": param.model_dump(mode="json"),
        "samples": [
            {
                "image_id": plan.sample.image_id,
                "image_file_name": plan.sample.image_file_name,
                "image_label": plan.sample.image_label,
                "dlsample_file_name": plan.file_name,
                "digest": plan.digest,
            }
            for plan in plans
        ],
    }


def _write_all(
    dataset: DLDataset, folder: Path, plans: Sequence[_Plan], param: DLPreprocessParam, progress: StageProgress | None
) -> None:
    """Write what is missing; a few pictures are in memory at a time."""
    missing = [plan for plan in plans if not is_there(folder / plan.file_name, plan.digest)]
    done = len(plans) - len(missing)
    if progress is not None:
        progress("preprocess", done, len(plans))
    reading = read_ahead([plan.sample for plan in missing], lambda sample: _decode(dataset, sample, param))
    with closing(reading) as samples:
        for plan, sample in zip(missing, samples, strict=True):
            _preprocess(plan, sample, param)
            write_sample(folder / plan.file_name, plan.digest, sample)
            done += 1
            if progress is not None:
                progress("preprocess", done, len(plans))


def _decode(dataset: DLDataset, sample: DLDatasetSample, param: DLPreprocessParam) -> DLSample:
    found = read_picture(dataset.image_path(sample), param, digest=sample.digest)
    found.image_id, found.image_file_name = sample.image_id, sample.image_file_name
    found.anomaly_ground_truth = dataset.read_mask(sample)
    return found


def _preprocess(plan: _Plan, sample: DLSample, param: DLPreprocessParam) -> None:
    try:
        preprocess_dl_samples([sample], param)
    except AnomalyError as exc:
        raise DatasetError(f"{plan.sample.image_file_name} cannot be preprocessed: {exc}") from exc
