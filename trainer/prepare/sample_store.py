"""A directory of preprocessed samples: which data set it belongs to, and what each of its files must contain."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors

from inspector.anomaly.files import unfinished_files, write_file
from inspector.anomaly.types import DLSample
from trainer.errors import DatasetError, OutputError

DATASET_FILE: Final = "dl_dataset.json"
SAMPLE_FOLDER: Final = "samples"
FORMAT_VERSION: Final = 1

_KIND: Final = "line_inspector.dl_dataset"
_SAMPLE_FILE: Final = re.compile(r"^\.?[^/]+_dlsample\.safetensors(\.[0-9a-f]{32}\.tmp)?$")


def prepare_store(directory: Path, content: dict[str, Any], *, overwrite: bool) -> Path:
    """Make a directory the store of `content`, or go on with one that is; return the folder of its samples.

    Args:
        directory: Made where it is missing.
        content: Written to `dl_dataset.json`; its `digest` says whether an existing store is the same.
        overwrite: Empty an existing store first, whatever it holds.

    Raises:
        OutputError: The directory is a stranger's, or the store of something else.
        OSError: It cannot be written.
    """
    if directory.exists() and not _is_untouched(directory):
        found = _read_document(directory)
        if not overwrite and found.get("digest") != content["digest"]:
            same = found.get("preprocess_param") == content["preprocess_param"]
            raise OutputError(
                f"{directory} was preprocessed {'from another set of images' if same else 'with other parameters'}; "
                "give another directory, or let this one be emptied (trainer fit --overwrite-cache, or "
                "overwrite_files=True of preprocess_dl_dataset)"
            )
        if overwrite:
            _empty(directory)
    folder = directory / SAMPLE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for left in unfinished_files(folder):
        left.unlink()
    # Before any sample: from here on the directory can be told from a stranger's.
    document = {"kind": _KIND, "format_version": FORMAT_VERSION, **content}
    write_file(directory / DATASET_FILE, json.dumps(document, indent=1).encode())
    return folder


def write_sample(path: Path, digest: str, sample: DLSample) -> None:
    """Write a preprocessed sample with the digest of what it was made from.

    Raises:
        OutputError: It was not preprocessed.
        OSError: It cannot be written.
    """
    if sample.preprocessed is None:
        raise OutputError(f"{path} cannot be written: its sample was not preprocessed")
    tensors = {"image": sample.preprocessed.contiguous()}
    if sample.anomaly_ground_truth is not None:
        tensors["anomaly_ground_truth"] = torch.from_numpy(sample.anomaly_ground_truth.astype(np.uint8))
    metadata = {"digest": digest, "content": _content_digest(tensors)}
    write_file(path, safetensors.save(tensors, metadata))


def _content_digest(tensors: dict[str, torch.Tensor]) -> str:
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(f"{name} {tuple(tensors[name].shape)}".encode())
        content.update(tensors[name].numpy().tobytes())
    return content.hexdigest()


def is_there(path: Path, digest: str) -> bool:
    """True if the file is whole and made from just this."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return False
    return metadata.get("digest") == digest


def read_sample(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a sample, and the digest of what it was made from.

    Raises:
        DatasetError: The file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as exc:
        raise DatasetError(f"{path} cannot be read ({exc}); run preprocess_dl_dataset again") from exc
    if "image" not in tensors or metadata.get("content") != _content_digest(tensors):
        raise DatasetError(f"{path} is damaged; delete it and run preprocess_dl_dataset again")
    return tensors, metadata.get("digest", "")


def _is_untouched(directory: Path) -> bool:
    """True if there is nothing, or only what is left of a run that was killed before it had written anything."""
    if not directory.is_dir():
        raise OutputError(f"{directory} is not a directory; give another")
    unfinished = unfinished_files(directory, DATASET_FILE)
    return all(
        (entry.name == SAMPLE_FOLDER and entry.is_dir() and not any(entry.iterdir())) or entry in unfinished
        for entry in directory.iterdir()
    )


def _read_document(directory: Path) -> dict[str, Any]:
    path = directory / DATASET_FILE
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        raise OutputError(
            f"{directory} contains files, but was not created by preprocess_dl_dataset, so it is not overwritten; "
            "give another directory"
        )
    if document.get("format_version") != FORMAT_VERSION:
        raise OutputError(
            f"{path} has format version {document.get('format_version')!r}, this program writes {FORMAT_VERSION}; "
            "give another directory"
        )
    return document


def _empty(directory: Path) -> None:
    """Delete what this procedure made; a file that it did not make keeps everything from being deleted."""
    folder = directory / SAMPLE_FOLDER
    unfinished = unfinished_files(directory)
    strangers = [
        path
        for path in directory.iterdir()
        if path.name not in (SAMPLE_FOLDER, DATASET_FILE) and path not in unfinished
    ]
    if folder.is_symlink() or directory.is_symlink():
        strangers.append(folder if folder.is_symlink() else directory)
    elif folder.exists():
        strangers += [path for path in folder.iterdir() if path.is_dir() or not _SAMPLE_FILE.match(path.name)]
    if strangers:
        raise OutputError(
            f"{strangers[0]} is not part of a preprocessed data set, so {directory} is not overwritten; move this "
            "file away"
        )
    if folder.exists():
        shutil.rmtree(folder)
    # Last of all, so that what a kill leaves behind can still be told from a stranger's.
    for path in directory.iterdir():
        path.unlink()
