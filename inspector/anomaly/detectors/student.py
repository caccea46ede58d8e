"""A student that learns on ok images to predict fine features from deep ones; its error is weighted by a Gaussian of the deep ones.

The frozen backbone is the teacher. The student sees its deep features (strides 8 to 32 on one grid, through a bottleneck of
half the grid) and predicts its fine ones (stride 8, undiminished): reverse distillation, after Deng & Li, "Anomaly Detection via
Reverse Distillation from One-Class Embedding" (CVPR 2022). At an ok position the prediction is right; at a defect the
fine features differ from what the surroundings suggest. What differs from that paper, each measured on the first five development sets:

* Only the fine features are predicted, scaled channel by channel, and the error is the plain mean square.
* The distance is a geometric mean of PaDiM's distance of the deep features, sharpened (weight 3), and of the student's error
  (weight 2). PaDiM knows what belongs at each position and ranks images well, but blurs; the student is sharp, but does not know positions.
  Their product keeps both: more of the defect's area is found than by either, and images are ranked as well as by PaDiM alone.
* Sharpened means: times its ratio to the mean distance around, which takes away the halo that the backbone's wide receptive field
  gives a defect. The ratio counts for a fifth more at most: a part that is wrong as a whole stands out from nothing
  and must not be outdone by the highest spot of an ok one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.detectors.base import checked
from inspector.anomaly.detectors.fine import FINER
from inspector.anomaly.detectors.padim import PaDiM
from inspector.anomaly.detectors.student_network import StudentNetwork
from inspector.anomaly.errors import ParameterError

_SURROUNDINGS = 7
"""Side of the square of the grid's positions that a distance is compared with."""
_MOST_SHARPENED = 1.2
_GAUSSIAN_WEIGHT, _ERROR_WEIGHT = 3, 2
_LEAST_MEAN = 1e-12
_WEIGHTS = "student."
COUNTED = "counted"
"""The tensor that says which positions count; not learnt."""


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
    projects_fine: ClassVar[bool] = False

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


def _twice(maps: Tensor) -> Tensor:
    """(B, h, w) -> (B, 2h, 2w), interpolated bilinearly."""
    return functional.interpolate(maps[:, None], scale_factor=FINER, mode="bilinear", align_corners=False)[:, 0]


def _mean_around(maps: Tensor) -> Tensor:
    """(B, h, w) -> (B, h, w): the mean of the square around each position, at the border of what lies inside."""
    return functional.avg_pool2d(
        maps[:, None], _SURROUNDINGS, stride=1, padding=_SURROUNDINGS // 2, count_include_pad=False
    )[:, 0]
