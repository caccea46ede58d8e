"""The state of a training on disk, so that a training that was killed can go on: safetensors and JSON, no pickle.

It is one file that is written as a whole: it contains the complete state after an epoch, or that of the epoch before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor

from inspector.anomaly.files import unfinished_files, write_file
from trainer.errors import OutputError

FILE_NAME: Final = "training.safetensors"
_KIND: Final = "line_inspector.training"
_FORMAT_VERSION: Final = 1


@dataclass(slots=True)
class TrainingState:
    """What a training knows after some epochs.

    Attributes:
        errors: One for each epoch so far.
        weights: Of the network, by name.
        best: The same after the epoch with the least error.
        moments: Of the optimiser, by name.
    """

    errors: list[float] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)


class Checkpoint:
    """The checkpoint of one training.

    Args:
        folder: Made where it is missing; other files in it are left alone.
        identity: Digests by what they are of ("parameters", "images"): a state is never used for any other.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str]) -> None:
        self.path = folder / FILE_NAME
        self._identity = dict(identity)

    def load(self) -> TrainingState | None:
        """Return the state of the last epoch that was finished; None where there is none.

        Raises:
            OutputError: The file is damaged, no checkpoint, or of other parameters or images.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                document = json.loads((file.metadata() or {}).get("state", "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError, ValueError) as exc:
            raise OutputError(f"checkpoint {self.path} cannot be read ({exc}); delete it to start again") from exc
        self._check(document)
        parts = {part: _part(tensors, part) for part in ("weights", "best", "moments")}
        return TrainingState(errors=[float(error) for error in document["errors"]], **parts)

    def _check(self, document: Any) -> None:  # noqa: ANN401 - whatever the file says
        if not isinstance(document, dict) or (document.get("kind"), document.get("format_version")) != (
            _KIND,
            _FORMAT_VERSION,
        ):
            raise OutputError(f"{self.path} is not a checkpoint of this program; give another folder")
        found = document.get("identity")
        others = [name for name, digest in self._identity.items() if not found or found.get(name) != digest]
        if others:
            raise OutputError(
                f"checkpoint {self.path} comes from a training with other {' and '.join(others)}; give another "
                "folder, or delete it to start again"
            )

    def save(self, state: TrainingState) -> None:
        """Write the state in place of the one before.

        Raises:
            OutputError: It cannot be written.
        """
        document = {
            "kind": _KIND,
            "format_version": _FORMAT_VERSION,
            "identity": self._identity,
            "errors": state.errors,
        }
        tensors = {
            # Copies: the best weights may be the last ones, and what shares memory is not written.
            f"{part}/{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for part in ("weights", "best", "moments")
            for name, tensor in getattr(state, part).items()
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for left in unfinished_files(self.path.parent, FILE_NAME):  # of a run that was killed
                left.unlink()
            write_file(self.path, safetensors.save(tensors, {"state": json.dumps(document)}))
        except OSError as exc:
            raise OutputError.unwritable(f"checkpoint {self.path}", exc) from exc


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
