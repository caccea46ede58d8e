"""Tries candidates, with one pass of the backbone for each backbone and input size, except for those that the budget leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.param import DLPreprocessParam
from trainer.progress import StageProgress
from trainer.selection.features import TrialFeatures
from trainer.selection.judge import judge
from trainer.selection.pictures import TrialImages
from trainer.selection.result import TriedModel
from trainer.training.train_param import DLTrainParam

MOST_COST: Final = 2.0
"""A candidate may cost at most this many times as much as the default, unless a number of frames per second is requested."""
NEAR_PERFECT: Final = 0.99
"""AUROC of the default from which on no other candidate is tried."""
SPEED_MARGIN: Final = 1.1
"""A candidate is to be faster than what is asked for by so much, as its speed is reckoned from the default's and not measured."""

Preprocessing = Callable[[InitialModel], DLPreprocessParam]
"""What the pictures of a model go through."""
Learning = Callable[[InitialModel], DLTrainParam]
"""How a model is trained."""


@dataclass(slots=True)
class Trial:
    """The trial of all candidates on the same pictures.

    Attributes:
        images: These pictures.
        preprocessing: Makes the preprocessing parameters of a candidate.
        learning: Makes the training parameters of a candidate.
        progress: Told of each picture, as stage "choose".
        min_fps: Required frames per second; None for the default budget.
        fps: Frames a second that the default reaches, once that was measured.
    """

    images: TrialImages
    preprocessing: Preprocessing
    learning: Learning
    progress: StageProgress
    min_fps: float | None = None
    fps: float | None = None
    _auroc: float = field(default=0.0, init=False)

    def run(self, candidates: Sequence[TriedModel]) -> list[TriedModel]:
        """Try those that the budget allows; return all in their order, with their scores or the reason why there are none.

        Args:
            candidates: With their costs; the first one is the default and tried in any case.

        Raises:
            DatasetError: As `TrialFeatures`.
            WeightsError: As `TrialFeatures`.
            ParameterError: As `judge`.
            OutputError: As `judge`.
        """
        done: dict[int, TriedModel] = {}
        for places in self._by_pass(candidates).values():
            with ExitStack() as stack:
                features: TrialFeatures | None = None
                for place in places:
                    left_out = self._refusal(candidates[place]) if place else ""
                    if left_out:
                        done[place] = replace(candidates[place], left_out=left_out)
                        continue
                    if features is None:
                        features = stack.enter_context(self._features([candidates[one].param for one in places]))
                    done[place] = self._tried(candidates[place], features, is_default=not place)
        return [done[place] for place in range(len(candidates))]

    def _by_pass(self, candidates: Sequence[TriedModel]) -> Mapping[object, list[int]]:
        """Places of the candidates that share a pass, the default's first."""
        passes: dict[object, list[int]] = {}
        for place, one in enumerate(candidates):
            param = one.param
            key = (param.backbone, param.weights, self.preprocessing(InitialModel(param)).digest)
            passes.setdefault(key, []).append(place)
        return passes

    def _features(self, params: Sequence[DLModelParam]) -> TrialFeatures:
        return TrialFeatures(
            self.images,
            self.preprocessing(InitialModel(params[0])),
            backbone=params[0].backbone,
            levels=tuple(sorted({level for param in params for level in param.levels})),
            device=params[0].device,
            progress=self.progress,
        )

    def _tried(self, one: TriedModel, features: TrialFeatures, *, is_default: bool) -> TriedModel:
        is_timed = is_default and self.min_fps is not None
        train_param = self.learning(InitialModel(one.param))
        scores, fps = judge(self.images, features, one.param, train_param, is_timed=is_timed)
        left_out = ""
        if is_default:
            self.fps = fps
            if self.min_fps is not None and fps is not None and fps < self.min_fps:
                left_out = f"too slow: {fps:.1f} frames/s, required: {self.min_fps:g}"
            else:
                self._auroc = scores.auroc
        return replace(one, scores=scores, left_out=left_out)

    def _refusal(self, one: TriedModel) -> str:
        """Why a candidate other than the default is not tried; empty where it is."""
        if self._auroc >= NEAR_PERFECT:
            return "not tried: the default already finds nearly all defects"
        if self.min_fps is not None and self.fps is not None:
            reckoned = self.fps / one.cost
            if reckoned < SPEED_MARGIN * self.min_fps:
                return f"too slow: about {reckoned:.1f} frames/s, required: {self.min_fps:g}"
        elif one.cost > MOST_COST:
            return f"too slow: {one.cost:.2g} times the cost of the default, allowed: {MOST_COST:g}"
        return ""
