"""The epochs of a student: which images and positions count, the learning rate, when it ends, where it continues.

Every random draw of an epoch follows from the seed and the epoch's number, and the learning rate from the number of the step. So the
state after an epoch consists of the weights, the optimiser's moments and the errors, and a training that continues from it ends
with the same weights as one that was never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from inspector.anomaly.detectors.student_network import StudentNetwork
from inspector.anomaly.errors import ParameterError
from trainer.errors import OutputError
from trainer.progress import StageProgress
from trainer.training.checkpoint import Checkpoint, TrainingState
from trainer.training.feature_store import FeatureStore
from trainer.training.train_param import DLTrainParam, resolve_epochs

BATCH_SIZE: Final = 16
LEARNING_RATE: Final = 3e-3
WEIGHT_DECAY: Final = 1e-4

_RISING: Final = 0.3
_START: Final = 1 / 25
_END: Final = 1 / 25e4


@dataclass(frozen=True, slots=True)
class TrainedEpochs:
    """The outcome of the epochs; the network has the weights of the best one."""

    errors: tuple[float, ...]
    stopped_early: bool

    @property
    def best_epoch(self) -> int:
        """Counted from 1."""
        return self.errors.index(min(self.errors)) + 1


def train_student(  # noqa: PLR0913 - all named
    network: StudentNetwork,
    store: FeatureStore,
    rows: Sequence[int],
    param: DLTrainParam,
    *,
    device: torch.device,
    mask: Callable[[int, int], Tensor | None],
    progress: StageProgress,
    stage: str = "fit",
    checkpoint: Checkpoint | None = None,
) -> TrainedEpochs:
    """Train until the error is low enough or the epochs are over. On a CPU the same seed gives the same weights, bit by bit.

    The error of an epoch is the mean over its images as they were learnt from (with noise, and with weights that change
    meanwhile). The weights kept are those after the epoch with the least.

    Args:
        network: On the device, its statistics learnt; its weights are changed.
        store: The embeddings.
        rows: Which of them are learnt from.
        param: Epochs, error to end at, share of positions, noise and seed.
        device: Where the network is.
        mask: Which positions of a map of (height, width) count, as `domain_mask`; None for all.
        progress: Told of each step; the stage's name carries the error.
        stage: Its name.
        checkpoint: Written after each epoch, and gone on from.

    Raises:
        ParameterError: The error is not a finite number.
        OutputError: The checkpoint cannot be written, or is not one of this training.
    """
    epochs, steps = resolve_epochs(param, len(rows)), math.ceil(len(rows) / BATCH_SIZE)
    optimizer = _optimizer(network)
    state = _resumed(network, optimizer, checkpoint)
    while len(state.errors) < epochs and not _is_enough(state.errors, param):
        epoch = len(state.errors)
        draws = _Draws(param, epoch, mask)
        total, done = 0.0, 0
        for batch in store.batches(draws.shuffled(rows), BATCH_SIZE):
            step = epoch * steps + done // BATCH_SIZE
            _set_rate(optimizer, step, epochs * steps)
            loss = _loss(network, batch.to(device), param, draws)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total, done = total + loss.item() * len(batch), done + len(batch)
            progress(f"{stage}: error {total / done:.4f}", step + 1, epochs * steps)
        _record(state, total / done, network, optimizer)
        if checkpoint is not None:
            checkpoint.save(state)
    network.load_state_dict(state.best)
    count = len(state.errors)
    progress(f"{stage}: error {min(state.errors):.4f}", count * steps, count * steps)
    return TrainedEpochs(tuple(state.errors), stopped_early=count < epochs)


def _optimizer(network: StudentNetwork) -> torch.optim.AdamW:
    """Weights decay, biases do not: the last one holds the targets' means."""
    weights, biases = ([p for p in network.parameters() if (p.ndim > 1) is wanted] for wanted in (True, False))
    groups = [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE)


def _is_enough(errors: Sequence[float], param: DLTrainParam) -> bool:
    return bool(errors) and param.error_threshold is not None and errors[-1] <= param.error_threshold


class _Draws:
    """Everything that is drawn in one epoch: the images' order, the noise, and the positions whose error counts."""

    def __init__(self, param: DLTrainParam, epoch: int, mask: Callable[[int, int], Tensor | None]) -> None:
        self._share = param.domain_ratio
        self._random = np.random.default_rng([param.seed, epoch])
        self._mask = mask
        self._positions: Tensor | None = None
        self.generator = torch.Generator().manual_seed(int(self._random.integers(2**62)))

    def shuffled(self, rows: Sequence[int]) -> list[int]:
        """The rows in this epoch's order."""
        return [rows[i] for i in self._random.permutation(len(rows))]

    def counted(self, errors: Tensor) -> Tensor:
        """(B, H, W) -> (B, n): of the positions inside the domain a share, the same for all images of the epoch."""
        if self._positions is None:
            height, width = errors.shape[1:]
            mask = self._mask(height, width)
            inside = torch.arange(height * width) if mask is None else mask.flatten().nonzero()[:, 0].cpu()
            count = max(1, round(self._share * len(inside)))
            drawn = np.sort(self._random.permutation(len(inside))[:count])
            self._positions = inside[torch.from_numpy(drawn)].to(errors.device)
        flat = errors.flatten(1)
        return flat if self._positions.numel() == flat.shape[1] else flat.index_select(1, self._positions)


def _loss(network: StudentNetwork, batch: Tensor, param: DLTrainParam, draws: _Draws) -> Tensor:
    errors = network.errors(batch, noise=param.regularization_noise or 0.0, generator=draws.generator)
    loss = draws.counted(errors).mean()
    if not bool(loss.isfinite()):
        raise ParameterError(
            f"the student's error is {loss.item()}: the training has failed; lower regularization_noise, or look for "
            "unusual images"
        )
    return loss


def one_cycle(step: int, total: int) -> tuple[float, float]:
    """Learning rate (as a share of the highest) and first beta of a step: up, then down (Smith, 2018), in cosines.

    As `torch.optim.lr_scheduler.OneCycleLR` with its defaults, but a function of the step alone, so nothing is to be
    stored to go on.
    """
    top = _RISING * total - 1
    if step <= top:
        share = _cosine(_START, 1.0, step / top)
        return share, _cosine(0.95, 0.85, step / top)
    left = (step - top) / max(total - 1 - top, 1e-12)
    return _cosine(1.0, _END, left), _cosine(0.85, 0.95, left)


def _cosine(start: float, end: float, at: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * at))


def _set_rate(optimizer: torch.optim.AdamW, step: int, total: int) -> None:
    rate, beta = one_cycle(step, total)
    for group in optimizer.param_groups:
        group["lr"], group["betas"] = LEARNING_RATE * rate, (beta, 0.999)


def _resumed(network: StudentNetwork, optimizer: torch.optim.AdamW, checkpoint: Checkpoint | None) -> TrainingState:
    state = checkpoint.load() if checkpoint is not None else None
    if state is None or checkpoint is None:
        return TrainingState()
    try:
        network.load_state_dict(state.weights)
        for index, parameter in enumerate(network.parameters()):
            moments = {key: state.moments[f"{index}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            # In the parameter's own memory format: another one would round otherwise.
            for key in ("exp_avg", "exp_avg_sq"):
                moments[key] = torch.empty_like(parameter, requires_grad=False).copy_(moments[key])
            optimizer.state[parameter] = moments
    except (RuntimeError, KeyError) as exc:
        raise OutputError(f"checkpoint {checkpoint.path} does not fit the student; delete it to start again") from exc
    return state


def _record(state: TrainingState, error: float, network: StudentNetwork, optimizer: torch.optim.AdamW) -> None:
    """The state after an epoch."""
    state.errors.append(error)
    state.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    if error == min(state.errors):
        state.best = state.weights
    state.moments = {
        f"{index}.{key}": value
        for index, parameter in enumerate(network.parameters())
        for key, value in optimizer.state[parameter].items()
    }
