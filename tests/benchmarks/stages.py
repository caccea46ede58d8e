"""What one frame costs on one thread, stage by stage.

Run as a process of its own: `python -m tests.benchmarks.stages BUNDLE PICTURES tuned|untuned`; prints one
JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from inspector.anomaly.network.tuning import tune_malloc
from tests.benchmarks.material import read_pictures

BATCH_SIZES = (1, 2, 4, 8, 16)
REPEATS = 5
FRAMES = 24
"""In each forward figure, at least; a batch larger than that counts as one."""


def main(arguments: list[str]) -> None:
    """Measure decoding, hashing, and the forward pass of each batch size."""
    bundle, pictures, malloc = arguments
    if malloc == "tuned":
        tune_malloc()
    import torch

    from inspector.anomaly.model.bundle import read_dl_model
    from inspector.anomaly.preprocess.image import decode_image
    from schemas import image_digest

    torch.set_num_threads(1)
    model = read_dl_model(Path(bundle))
    encoded = read_pictures(Path(pictures))
    param = model.preprocess_param
    images = [decode_image(data, target=param.decode_target, margin=param.decode_margin).image for data in encoded]
    source = cycle(encoded)
    costs: dict[str, object] = {
        "decode_ms": _median_ms(
            lambda: decode_image(next(source), target=param.decode_target, margin=param.decode_margin), 4 * len(encoded)
        ),
        "digest_ms": _median_ms(lambda: image_digest(next(source)), 4 * len(encoded)),
    }
    forward = {}
    for size in BATCH_SIZES:
        batch = [images[number % len(images)] for number in range(size)]
        model.launch(batch).finish()
        times = max(REPEATS, -(-FRAMES // size))
        forward[str(size)] = _median_ms(lambda batch=batch: model.launch(batch).finish(), times) / size  # type: ignore[misc]
    print(json.dumps(costs | {"forward_ms_per_frame": forward}))


def _median_ms(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


if __name__ == "__main__":
    main(sys.argv[1:])
