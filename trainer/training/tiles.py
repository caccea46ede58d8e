"""The inputs that a training's images become: the images themselves, or their tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from inspector.anomaly.model.stitch import batches_of_tiles
from inspector.anomaly.preprocess.cut import cut_image
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample


def inputs_of(
    samples: Sequence[DLSample], preprocess_param: DLPreprocessParam, *, most_tiles: int | None = None
) -> Iterator[Sequence[DLSample]]:
    """Yield batches of inputs: the samples at once as they are, or their tiles as samples, a few at a time.

    Args:
        samples: With their pictures, where they are to be cut.
        preprocess_param: Says whether they are.
        most_tiles: Of each, spread evenly over it; None for all.

    Raises:
        ParameterError: As `cut_image`.
        StepError: As `cut_image`.
        GeometryError: As `cut_image`.
    """
    if preprocess_param.tile is None:
        yield samples
        return
    yield from batches_of_tiles(_tiles(samples, preprocess_param, most_tiles))


def _tiles(
    samples: Iterable[DLSample], preprocess_param: DLPreprocessParam, most_tiles: int | None
) -> Iterator[DLSample]:
    for sample in samples:
        picture = cut_image(sample.image, preprocess_param)
        every = 1 if most_tiles is None else -(-len(picture.grid) // most_tiles)
        for number, tile in enumerate(picture.tiles()):
            if number % every == 0:
                yield DLSample(tile, tile.shape[1], tile.shape[0], sample.channels)
