"""From pictures to embeddings: preprocessing, backbone, and the projection that all detectors use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors.base import Embedding
from inspector.anomaly.network.runtime import Runtime
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam


class FeatureNetwork:
    """Pictures to embeddings: the part of a model that is there before a detector is fitted.

    Where the parameters cut pictures into tiles, its pictures are these tiles (`cut_image`).
    """

    def __init__(self, preprocess_param: DLPreprocessParam, runtime: Runtime, embedding: Embedding) -> None:
        self.preprocess_param = preprocess_param
        self._of_input = preprocess_param.of_input
        self.runtime = runtime
        self.embedding = embedding

    def preprocessed(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Pictures as `preprocess_images` takes them -> (B, 3, H, W) float32 on the device."""
        return preprocess_images(images, self._of_input, self.runtime.device)

    @torch.inference_mode()
    def features(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Pictures as `preprocess_images` takes them -> the backbone's levels, each (B, C, H', W') float32."""
        return self.runtime.features(self.preprocessed(images))

    @torch.inference_mode()
    def embed(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Pictures as `preprocess_images` takes them -> (B, h, w, D) float32 on the device."""
        return self.embed_preprocessed(self.preprocessed(images))

    @torch.inference_mode()
    def embed_preprocessed(self, batch: Tensor) -> Tensor:
        """(B, 3, H, W) float32 as `preprocess_images` gives it -> (B, h, w, D) float32 on the device."""
        return self.embedding(self.runtime.features(batch), batch)
