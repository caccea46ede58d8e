"""Decode and forward pass without Kafka: threads that decode run ahead of the thread that owns the model.

Run as a process of its own: `python -m tests.benchmarks.alone BUNDLE PICTURES SECONDS BATCH,TORCH,DECODE...`; prints one
JSON array, a figure for each setting.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from inspector.anomaly.tuning import tune_malloc
from inspector.anomaly.types import DLSample
from tests.benchmarks.material import read_pictures

WARM_UP_BATCHES = 3


class AloneSetting(NamedTuple):
    """What may be chosen: frames in a batch, threads of a forward pass, threads that decode."""

    batch: int
    torch_threads: int
    decode_threads: int


def main(arguments: list[str]) -> None:
    """Measure each setting."""
    bundle, pictures, seconds, *settings = arguments
    tune_malloc()
    from inspector.anomaly.bundle import read_dl_model

    model = read_dl_model(Path(bundle))
    encoded = read_pictures(Path(pictures))
    chosen = [AloneSetting(*map(int, setting.split(","))) for setting in settings]
    print(json.dumps([_measure(model, encoded, setting, float(seconds)) for setting in chosen]))


def _measure(model: object, encoded: list[bytes], setting: AloneSetting, seconds: float) -> dict[str, float]:
    import torch

    from inspector.anomaly.image import decode_image
    from inspector.anomaly.model import AnomalyModel

    if not isinstance(model, AnomalyModel):
        raise TypeError("the bundle holds no model")
    torch.set_num_threads(setting.torch_threads)
    param = model.preprocess_param
    source = cycle(encoded)
    ahead: deque[Future[DLSample]] = deque()
    frames, started, started_cpu = 0, 0.0, 0.0
    with ThreadPoolExecutor(setting.decode_threads) as pool:

        def more() -> None:
            ahead.append(pool.submit(decode_image, next(source), target=param.input_size, margin=param.decode_margin))

        for _ in range(2 * setting.batch + setting.decode_threads):
            more()
        batches = 0
        while not started or time.perf_counter() - started < seconds:
            if batches == WARM_UP_BATCHES:
                frames, started, started_cpu = 0, time.perf_counter(), time.process_time()
            images = []
            for _ in range(setting.batch):
                images.append(ahead.popleft().result().image)
                more()
            model.launch(images).finish()
            batches += 1
            frames += setting.batch
        elapsed, cpu = time.perf_counter() - started, time.process_time() - started_cpu
        for future in ahead:
            future.cancel()
    return {"frames_per_s": frames / elapsed, "cpu_ms_per_frame": 1000 * cpu / frames}


if __name__ == "__main__":
    main(sys.argv[1:])
