"""Decode and forward pass without Kafka: as many frames a second as this machine's cores can score.

Run as a process of its own: `python -m tests.benchmarks.alone BUNDLE PICTURES SECONDS BATCH,DEVICE,TORCH,DECODE...`; prints
one JSON array, a figure for each setting.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from inspector.anomaly.network.tuning import tune_malloc
from inspector.anomaly.types import DLSample
from tests.benchmarks.material import read_pictures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inspector.anomaly.model.model import AnomalyModel

WARM_UP_BATCHES = 3
WARM_UP_TIMEOUT_S = 120.0
"""A thread that fails never arrives; the others and the measurement end with an error then."""


class AloneSetting(NamedTuple):
    """What may be chosen: frames in a batch, batches side by side, threads of each forward pass, threads that decode.

    Without threads that decode, those that score do it themselves.
    """

    batch: int
    device_threads: int
    torch_threads: int
    decode_threads: int


def main(arguments: list[str]) -> None:
    """Measure each setting."""
    bundle, pictures, seconds, *settings = arguments
    tune_malloc()
    from inspector.anomaly.model.bundle import read_dl_model

    model = read_dl_model(Path(bundle))
    encoded = read_pictures(Path(pictures))
    chosen = [AloneSetting(*map(int, setting.split(","))) for setting in settings]
    print(json.dumps([_measure(model, encoded, setting, float(seconds)) for setting in chosen]))


def _measure(model: AnomalyModel, encoded: list[bytes], setting: AloneSetting, seconds: float) -> dict[str, float]:
    from torch import set_num_threads

    frames = [0] * setting.device_threads
    warm = threading.Barrier(setting.device_threads + 1, timeout=WARM_UP_TIMEOUT_S)
    over = threading.Event()
    pool = ThreadPoolExecutor(max(1, setting.decode_threads))  # starts no thread before it is given work

    def score(thread: int) -> None:
        set_num_threads(setting.torch_threads)  # torch's setting for the thread that makes it
        batches = _decoded(model, encoded, setting, pool)
        for _ in range(WARM_UP_BATCHES):
            model.launch(next(batches)).finish()
        warm.wait()
        while not over.is_set():
            model.launch(next(batches)).finish()
            frames[thread] += setting.batch

    with pool:
        threads = [threading.Thread(target=score, args=[number]) for number in range(setting.device_threads)]
        for thread in threads:
            thread.start()
        warm.wait()
        started, started_cpu = time.perf_counter(), time.process_time()
        time.sleep(seconds)
        over.set()
        # Batches that are begun are counted, and so is their time.
        for thread in threads:
            thread.join()
        elapsed, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    return {"frames_per_s": sum(frames) / elapsed, "cpu_ms_per_frame": 1000 * cpu / sum(frames)}


def _decoded(
    model: AnomalyModel, encoded: list[bytes], setting: AloneSetting, pool: Executor
) -> Iterator[list[NDArray[np.uint8]]]:
    """Batches of pictures, two ahead where others decode them."""
    from inspector.anomaly.preprocess.image import decode_image

    source = cycle(encoded)
    param = model.preprocess_param

    def decode() -> DLSample:
        return decode_image(next(source), target=param.decode_target, margin=param.decode_margin)

    ahead: deque[Future[DLSample]] = deque()
    while True:
        if not setting.decode_threads:
            yield [decode().image for _ in range(setting.batch)]
            continue
        while len(ahead) < 2 * setting.batch + setting.decode_threads:
            ahead.append(pool.submit(decode))
        yield [ahead.popleft().result().image for _ in range(setting.batch)]


if __name__ == "__main__":
    main(sys.argv[1:])
