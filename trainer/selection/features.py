"""One pass of a backbone over the pictures of a trial, shared by all candidates that use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Final, Self

import torch
from torch import Tensor

from inspector.anomaly.choices import BackboneName
from inspector.anomaly.detectors.fine import FINE_DIMS
from inspector.anomaly.model.bundle import DETECTORS
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.model.param import DLModelParam
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.network.weights import load_backbone
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import ImageGeometry
from trainer.pictures.files import BATCH_SIZE, in_batches
from trainer.progress import StageProgress
from trainer.selection.pictures import TrialImages
from trainer.training.embed import TrainingFeatures
from trainer.training.feature_store import DEFAULT_LIMIT_BYTES, FeatureStore
from trainer.training.network import EmbeddingParam, scale_images, scaled_embedding
from trainer.training.train_param import DLTrainParam
from trainer.training.variation import CameraVariation, varied_images

STAGE: Final = "choose"


class TrialFeatures:
    """What a backbone makes of the pictures of a trial; a context manager, for the stores.

    Args:
        images: The pictures.
        preprocess_param: What they go through: of all the candidates that share this.
        backbone: The network.
        levels: All that any of these candidates takes, rising.
        device: Where the network runs.
        progress: Told of each batch, as stage "choose".

    Attributes:
        preprocess_param: As given.

    Raises:
        DatasetError: An image can no longer be read.
        WeightsError: The backbone's weights are missing or altered.
        OutputError: The features do not fit on the disk.
    """

    def __init__(
        self,
        images: TrialImages,
        preprocess_param: DLPreprocessParam,
        *,
        backbone: BackboneName,
        levels: tuple[int, ...],
        device: str,
        progress: StageProgress,
    ) -> None:
        self._images = images
        self.preprocess_param = preprocess_param
        self._runtime = TorchRuntime(load_backbone(backbone, levels), torch.device(device))
        limit = DEFAULT_LIMIT_BYTES // len(levels)
        self._stores = {level: FeatureStore(images.n_pictures, limit_bytes=limit) for level in levels}
        done = 0
        try:
            for batch in in_batches(images.pictures(preprocess_param), BATCH_SIZE):
                self._append(preprocess_images(batch, preprocess_param, self._runtime.device))
                done += len(batch)
                width, height = preprocess_param.input_size
                progress(f"{STAGE}: {backbone}, {width} x {height} px", done, images.n_pictures)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory."""
        for store in self._stores.values():
            store.close()

    @torch.inference_mode()
    def embedded(self, param: DLModelParam, train_param: DLTrainParam) -> TrainingFeatures:
        """The embeddings that a candidate sees of all pictures, to be closed by the caller.

        Without the pictures' local contrast, which changes no score of the default rule; it takes about 6 % of the backbone's time.

        Args:
            param: Of the candidate.
            train_param: Seed of its projection and of the images that its levels' scales are measured on; and how much of what a camera
                changes it tolerates.

        Raises:
            DatasetError: An image can no longer be read.
            OutputError: They do not fit on the disk.
        """
        kind, seed = DETECTORS[param.detector], train_param.seed
        wanted = EmbeddingParam(
            param.levels,
            param.grid_level,
            param.embedding_dims,
            seed,
            kind.keeps_fine,
            FINE_DIMS if kind.projects_fine else 0,
            param.feature_normalization,
        )
        measured = self._images.rows(scale_images(len(self._images), seed))
        embedding = scaled_embedding(
            self._features(param.levels, measured), self._runtime.backbone, self.preprocess_param.view, wanted
        )
        network = FeatureNetwork(self.preprocess_param, self._runtime, embedding)
        variation = self._variation(network, train_param)
        store = FeatureStore(self._images.n_pictures)
        for levels in self._features(param.levels, range(self._images.n_pictures)):
            store.append(embedding(levels).cpu())
        return TrainingFeatures(
            network,
            store,
            copies=0,
            grids=None,
            geometry=ImageGeometry(
                width=self.preprocess_param.image_width, height=self.preprocess_param.image_height, channels=3
            ),
            golden_images=(),
            digest="",
            seconds=0.0,
            variation=variation,
        )

    def _variation(self, network: FeatureNetwork, train_param: DLTrainParam) -> Tensor | None:
        """How far the embeddings move with the camera, as the training would find it on these images."""
        if not train_param.camera_tolerance:
            return None
        moves = CameraVariation(network, seed=train_param.seed, tolerance=train_param.camera_tolerance)
        chosen = varied_images(len(self._images))
        with closing(self._images.ok_samples(self.preprocess_param, chosen)) as samples:
            for index, sample in zip(chosen, samples, strict=True):
                moves.look_at(sample, index)
        return moves.covariance()

    def _append(self, batch: Tensor) -> None:
        for store, level in zip(self._stores.values(), self._runtime.features(batch), strict=True):
            store.append(level.permute(0, 2, 3, 1).cpu())

    def _features(self, levels: Sequence[int], rows: Sequence[int]) -> Iterator[list[Tensor]]:
        """The chosen levels of these pictures, each (B, C, h, w), in batches."""
        for start in range(0, len(rows), BATCH_SIZE):
            chosen = rows[start : start + BATCH_SIZE]
            yield [self._stores[level].read(chosen).permute(0, 3, 1, 2).to(self._runtime.device) for level in levels]
