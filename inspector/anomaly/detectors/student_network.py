"""The network of the student: it predicts the fine features from the deep ones, and measures its error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from inspector.anomaly.detectors.fine import FINER
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.network.fused import FusedConv, has_fused_operations

WIDTH_PER_COMPLEXITY = 4
_LEAST_SCALE = 1e-6
_LEAST_DEVIATION = 1e-2
"""Of a target's channel, as a share of the root mean square of all: a channel that hardly varies must not drown the others."""


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
            raise ParameterError("a student needs at least 1 image to train on")
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


def _fused(layers: nn.Sequential) -> Callable[[Tensor], Tensor]:
    """Convolutions with a GELU behind each, fused."""
    convolutions = [FusedConv(layer, "gelu") for layer in layers if isinstance(layer, nn.Conv2d)]

    def run(x: Tensor) -> Tensor:
        for convolution in convolutions:
            x = convolution(x)
        return x

    return run


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
