"""A student that learns to tell fine features from deep ones on ok images, weighed by a Gaussian of the deep ones.

The frozen backbone is the teacher. The student sees its deep features (strides 8 to 32 on one grid, through a bottleneck of
half the grid) and predicts its fine ones (stride 8, undiminished): reverse distillation, after Deng & Li, "Anomaly Detection via
Reverse Distillation from One-Class Embedding" (CVPR 2022). Where a part is as it was, the prediction holds; at a defect the
fine features are not those that the surroundings promise. What differs from that paper, each measured on the five development sets:

* Only the fine features are predicted, scaled channel by channel, and the error is the plain mean square.
* The distance is a geometric mean of PaDiM's distance of the deep features, sharpened (weight 3), and of the student's error
  (weight 2). PaDiM knows what belongs where and ranks images, but blurs; the student is sharp, but knows nothing of places.
  Their product keeps both: more of the defect's area is found than by either, and images are ranked as well as by PaDiM alone.
* Sharpened means: times its ratio to the mean distance around, which takes away the halo that the backbone's wide receptive field
  gives a defect. The ratio counts for a fifth more at most: a part that is wrong as a whole stands out from nothing
  and must not be outdone by the highest spot of an ok one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.detectors.base import FINER, checked
from inspector.anomaly.detectors.padim import PaDiM
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.network.fused import FusedConv, has_fused_operations

WIDTH_PER_COMPLEXITY = 4
_SURROUNDINGS = 7
"""Side of the square of the grid's positions that a distance is compared with."""
_MOST_SHARPENED = 1.2
_GAUSSIAN_WEIGHT, _ERROR_WEIGHT = 3, 2
_LEAST_MEAN = 1e-12
_LEAST_SCALE = 1e-6
_LEAST_DEVIATION = 1e-2
"""Of a target's channel, as a share of the root mean square of all: a channel that hardly varies must not drown the others."""
_WEIGHTS = "student."
COUNTED = "counted"
"""The tensor that says which positions count; not learnt."""


class StudentNetwork(nn.Module):
    """Predicts the scaled fine part of an embedding from its deep part.

    Args:
        deep_dims: The first so many dimensions of a position are deep features: the input.
        fine_dims: The others are fine features, those of twice the grid's resolution folded into the grid: the target.
        width: Channels of the student's layers.

    Raises:
        ParameterError: The fine part does not unfold, or a part is empty.
    """

    def __init__(self, deep_dims: int, fine_dims: int, width: int) -> None:
        super().__init__()
        if fine_dims < 1 or fine_dims % FINER**2 or deep_dims < 1 or width < 1:
            raise ParameterError(
                f"a student needs deep features, fine ones in groups of {FINER**2} and a width, "
                f"got {deep_dims}, {fine_dims} and {width}"
            )
        self.deep_dims, self.fine_dims, self.width = deep_dims, fine_dims, width
        targets = fine_dims // FINER**2
        self.bottleneck = nn.Sequential(
            nn.Conv2d(deep_dims, width, 1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU()
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 1), nn.GELU()
        )
        self.targets = nn.Conv2d(width, fine_dims, 1)
        self.input_scale: Tensor
        self.target_scale: Tensor
        self.register_buffer("input_scale", torch.ones(1))
        self.register_buffer("target_scale", torch.ones(targets))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parts_in_use: tuple[Callable[[Tensor], Tensor], ...] = (self.bottleneck, self.decoder, self.targets)

    def frozen(self) -> Self:
        """End its learning; on a CPU it goes on with fused operations where there are any. It stays on its device.

        torch's own convolution takes another kernel for one small picture than for several. What that changes is the last digit
        of a prediction; but where a prediction is almost met, that digit is all that its error consists of.
        """
        self.requires_grad_(requires_grad=False).eval()
        if self.target_scale.device.type == "cpu" and has_fused_operations():
            inner = (self.bottleneck, self.decoder)
            self._parts_in_use = (*(_fused(layers) for layers in inner), FusedConv(self.targets))
        return self

    @torch.no_grad()
    def learn_statistics(self, batches: Iterable[Tensor], counted: Tensor | None = None) -> None:
        """Measure by what inputs and targets are scaled, and where the targets lie; before training.

        Args:
            batches: The embeddings that will be learnt from, each (B, h, w, deep_dims + fine_dims) float32, once.
            counted: (h, w) bool, True where positions count. None counts all.

        Raises:
            ParameterError: There is none.
        """
        square = torch.zeros((), dtype=torch.float64)
        total = torch.zeros(len(self.target_scale), dtype=torch.float64)
        squares = torch.zeros_like(total)
        inputs = positions = 0
        for batch in batches:
            self._check(batch)
            inside = batch.flatten(1, 2) if counted is None else batch[:, counted]
            deep, fine = inside[..., : self.deep_dims], inside[..., self.deep_dims :]
            square += deep.double().square().sum().cpu()
            inputs += deep.numel()
            values = fine.double().reshape(-1, len(total))
            total += values.sum(0).cpu()
            squares += values.square().sum(0).cpu()
            positions += len(values)
        if not positions:
            raise ParameterError("a student needs 1 image or more to learn from")
        mean = total / positions
        variance = (squares / positions - mean.square()).clamp_min(0)
        least = _LEAST_DEVIATION * variance.mean().sqrt().clamp_min(_LEAST_SCALE)
        deviation = variance.sqrt().clamp_min(least)
        self.input_scale.copy_((square / inputs).sqrt().clamp_min(_LEAST_SCALE))
        self.target_scale.copy_(deviation.reciprocal())
        # The targets keep their means, so that nothing is to be subtracted from each frame: the first guess is the mean.
        self.targets.get_parameter("bias").copy_((mean / deviation).repeat(FINER**2))

    def errors(self, embedded: Tensor, *, noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Return how far the prediction is off.

        Args:
            embedded: (B, h, w, deep_dims + fine_dims) float32.
            noise: Standard deviation of Gaussian noise on the input, in units of its root mean square.
            generator: Where the noise comes from.

        Returns:
            (B, 2h, 2w) float32: the mean square over the target's channels, each in units of its variance over ok images.
        """
        deep, fine = self._parts(embedded)
        if noise:
            deep = deep + noise * self.input_scale * torch.randn(deep.shape, generator=generator).to(deep.device)
        predicted = self.predict(deep).permute(0, 2, 3, 1)
        missed = torch.addcmul(predicted, fine, self.target_scale.repeat(FINER**2), value=-1)
        errors = torch.unflatten(missed, -1, (FINER, FINER, -1)).square().mean(-1)  # (B, h, w, dy, dx)
        return errors.permute(0, 1, 3, 2, 4).flatten(3, 4).flatten(1, 2)

    def predict(self, deep: Tensor) -> Tensor:
        """(B, deep_dims, h, w) -> (B, fine_dims, h, w), scaled fine features as they are folded."""
        # Half the grid's resolution is the bottleneck: with the whole grid a defect's own deep features tell its fine ones.
        pooled = functional.avg_pool2d(deep, 2, ceil_mode=True, count_include_pad=False) / self.input_scale
        bottleneck, decoder, targets = self._parts_in_use
        hidden = functional.interpolate(bottleneck(pooled), size=deep.shape[-2:], mode="bilinear", align_corners=False)
        return targets(decoder(hidden))

    def _parts(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """(B, h, w, D) -> deep (B, deep_dims, h, w) and fine (B, h, w, fine_dims), both as they lie."""
        self._check(embedded)
        return embedded[..., : self.deep_dims].permute(0, 3, 1, 2), embedded[..., self.deep_dims :]

    def _check(self, embedded: Tensor) -> None:
        if embedded.shape[-1] != self.deep_dims + self.fine_dims:
            raise ParameterError(
                f"the student learnt from {self.deep_dims} + {self.fine_dims} dimensions, got {embedded.shape[-1]}"
            )


class Student:
    """The trained student and the Gaussians of the deep features; both see the same embedding.

    Args:
        network: Trained; takes ownership.
        gaussian: Fitted on the first `network.deep_dims` dimensions of the embeddings.
        counted: (h, w) bool, True where positions count; the others are no surroundings. None counts all.

    Raises:
        ParameterError: The parts do not fit each other.
    """

    kind: ClassVar[DetectorName] = "student"
    keeps_fine: ClassVar[bool] = True

    def __init__(self, network: StudentNetwork, gaussian: PaDiM, counted: Tensor | None = None) -> None:
        if gaussian.dims != network.deep_dims:
            raise ParameterError(f"Gaussians of {gaussian.dims} dimensions do not fit a student of {network.deep_dims}")
        if counted is not None and counted.shape != gaussian.grid:
            raise ParameterError(f"a mask of {tuple(counted.shape)} does not fit a grid of {tuple(gaussian.grid)}")
        self._network = network.frozen()
        self._gaussian = gaussian
        self._counted = torch.ones(gaussian.grid, dtype=torch.bool) if counted is None else counted
        self._counted = self._counted.to(gaussian.device)
        weights = self._counted[None].float()
        # 0 where nothing counts within reach; what lies there counts for nothing either.
        self._share_around = _mean_around(weights).clamp_min(_LEAST_MEAN)
        self._share_wide = _twice(weights).clamp_min(_LEAST_MEAN)

    @torch.inference_mode()
    def distances(self, embedded: Tensor) -> Tensor:
        """See `Detector.distances`; (B, 2h, 2w), at twice the grid's resolution; arbitrary where nothing counts."""
        square = self._network.errors(embedded)  # (B, 2h, 2w)
        deep = self._gaussian.distances(embedded[..., : self._network.deep_dims])
        wide = _twice(self._sharpened(deep)) / self._share_wide
        return (wide**_GAUSSIAN_WEIGHT * square ** (_ERROR_WEIGHT / 2)) ** (1 / (_GAUSSIAN_WEIGHT + _ERROR_WEIGHT))

    def _sharpened(self, deep: Tensor) -> Tensor:
        """(B, h, w) -> (B, h, w): distances times their ratio to the mean of those around; 0 where nothing counts."""
        # Filled, not multiplied: a distance that is not finite would spread.
        counted = deep.masked_fill(~self._counted, 0.0)
        around = _mean_around(counted) / self._share_around
        return counted * (counted / around.clamp_min(_LEAST_MEAN)).clamp_max(_MOST_SHARPENED)

    def tensors(self) -> dict[str, Tensor]:
        """See `Detector.tensors`."""
        weights = {_WEIGHTS + name: tensor.cpu() for name, tensor in self._network.state_dict().items()}
        return {**self._gaussian.tensors(), **weights, COUNTED: self._counted.float().cpu()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> Student:
        """Build from what a bundle stores.

        Raises:
            ParameterError: A tensor is missing or not what it should be.
        """
        gaussian = PaDiM.from_tensors(tensors, device)
        counted = checked(tensors, COUNTED, 2).to(device) > 0
        first = checked(tensors, _WEIGHTS + "bottleneck.0.weight", 4)
        targets = checked(tensors, _WEIGHTS + "target_scale", 1)
        network = StudentNetwork(first.shape[1], len(targets) * FINER**2, first.shape[0])
        weights = {
            name: checked(tensors, _WEIGHTS + name, own.ndim).contiguous() for name, own in network.state_dict().items()
        }
        for name, own in network.state_dict().items():
            if weights[name].shape != own.shape:
                raise ParameterError(
                    f"the student's tensor {name!r} is {tuple(weights[name].shape)}, expected {tuple(own.shape)}"
                )
        network.load_state_dict(weights)
        return cls(network.to(device), gaussian, counted)


def _fused(layers: nn.Sequential) -> Callable[[Tensor], Tensor]:
    """Convolutions with a GELU behind each, fused."""
    convolutions = [FusedConv(layer, "gelu") for layer in layers if isinstance(layer, nn.Conv2d)]

    def run(x: Tensor) -> Tensor:
        for convolution in convolutions:
            x = convolution(x)
        return x

    return run


def _twice(maps: Tensor) -> Tensor:
    """(B, h, w) -> (B, 2h, 2w), interpolated bilinearly."""
    return functional.interpolate(maps[:, None], scale_factor=FINER, mode="bilinear", align_corners=False)[:, 0]


def _mean_around(maps: Tensor) -> Tensor:
    """(B, h, w) -> (B, h, w): the mean of the square around each position, at the border of what lies inside."""
    return functional.avg_pool2d(
        maps[:, None], _SURROUNDINGS, stride=1, padding=_SURROUNDINGS // 2, count_include_pad=False
    )[:, 0]


def build_student(deep_dims: int, fine_dims: int, *, complexity: int, seed: int) -> StudentNetwork:
    """Return an untrained student on the CPU.

    Args:
        deep_dims: See `StudentNetwork`.
        fine_dims: See `StudentNetwork`.
        complexity: Its width in units of four channels, at least 1.
        seed: Decides the first weights; torch's own generator is left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StudentNetwork(deep_dims, fine_dims, WIDTH_PER_COMPLEXITY * complexity)
