"""Preprocessing parameters in a file of their own: write_dl_preprocess_param, read_dl_preprocess_param. JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.files import write_file
from inspector.anomaly.preprocess.param import DLPreprocessParam
from schemas.refusal import refusals

FORMAT_VERSION: Final = 1
_KEY: Final = "preprocess_param"
_MAX_BYTES: Final = 2**20


def write_dl_preprocess_param(path: Path | str, preprocess_param: DLPreprocessParam) -> None:
    """Write the parameters; an existing file is replaced in one step, so it is never incomplete.

    Raises:
        ParameterError: The file cannot be written.
    """
    path = Path(path)
    document = {"format_version": FORMAT_VERSION, _KEY: preprocess_param.model_dump(mode="json")}
    try:
        write_file(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())
    except OSError as exc:
        raise ParameterError(f"{path} cannot be written: {exc.strerror or exc}") from exc


def read_dl_preprocess_param(path: Path | str) -> DLPreprocessParam:
    """Read what `write_dl_preprocess_param` wrote.

    Raises:
        ParameterError: The file is missing, no such file, of another format version, or a parameter is refused.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise ParameterError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    if len(content) > _MAX_BYTES:
        raise ParameterError(f"{path} is not a file of preprocessing parameters: it has more than {_MAX_BYTES} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise ParameterError(f"{path} is not JSON ({exc}); write it with write_dl_preprocess_param") from exc
    if not isinstance(document, dict) or _KEY not in document:
        raise ParameterError(
            f"{path} does not contain preprocessing parameters; write it with write_dl_preprocess_param"
        )
    if document.get("format_version") != FORMAT_VERSION:
        raise ParameterError(
            f"{path} has format version {document.get('format_version')!r}, but this program reads {FORMAT_VERSION}; "
            "write it again, or use the program that wrote it"
        )
    try:
        return DLPreprocessParam.model_validate_json(json.dumps(document[_KEY]))
    except ValidationError as exc:
        raise ParameterError(f"{path}: {refusals(exc)[0]}") from exc
