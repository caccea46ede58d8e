"""A process of its own, for torch reads its instruction set once: by how much a batch changes what each model of a folder finds.

`python -m tests.unit.anomaly.model.batch_differences FOLDER` prints JSON: for each bundle, network and number of threads the largest relative
differences of distances, scores and maps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from inspector.anomaly.network.tuning import tune_process

tune_process()  # before torch is imported: two threads that spin would wait for each other on a busy machine

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch import Tensor  # noqa: E402

from inspector.anomaly.detectors import student  # noqa: E402
from inspector.anomaly.detectors.student import Student  # noqa: E402
from inspector.anomaly.model.bundle import read_dl_model  # noqa: E402
from inspector.anomaly.model.model import AnomalyModel  # noqa: E402
from inspector.anomaly.network import runtime  # noqa: E402
from tests.models import Picture, nok_picture, ok_picture  # noqa: E402
from tests.unit.anomaly.detectors.test_student import embeddings  # noqa: E402

FEW_TARGETS = "few_targets.safetensors"
"""Beside the bundles: what `Student.tensors` gave."""

SIZES = {1: (2, 5, 15, 16, 32), 2: (2, 16)}
"""By the number of threads. 15 and 16 because torch's own convolution goes another way from 16 images on."""
WATCHED = 4
"""Pictures that are scored alone and in each batch: half of them come first in it, half last."""


def pictures(model: AnomalyModel, count: int) -> list[Picture]:
    """Ok and nok ones as in the training, then mates: also black ones and noise."""
    rng = np.random.default_rng(7)
    width, height = model.geometry.width, model.geometry.height
    made: list[Picture] = []
    for index in range(count):
        kind = index % 2 if index < WATCHED else index % 4
        if kind == 2:
            made.append(np.zeros((height, width, 3), np.uint8))
        elif kind == 3:
            made.append(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        else:
            made.append((ok_picture, nok_picture)[kind](rng, width=width, height=height))
    return made


def found(model: AnomalyModel, batch: list[Picture]) -> dict[str, Tensor]:
    """What a batch gives, one row a picture."""
    seen: list[Tensor] = []

    def distances(embedded: Tensor) -> Tensor:
        seen.append(type(model.detector).distances(model.detector, embedded))
        return seen[-1]

    model.detector.distances = distances  # type: ignore[method-assign]
    results = model.launch(batch).finish()
    return {
        "distances": seen[0].double(),
        "scores": torch.tensor([result.anomaly_score for result in results], dtype=torch.float64),
        "maps": torch.stack([torch.from_numpy(result.anomaly_image.copy()) for result in results]).double(),
    }


def largest_differences(model: AnomalyModel, sizes: tuple[int, ...]) -> dict[str, float]:
    """Of the watched pictures in batches of these sizes against themselves alone."""
    images = pictures(model, WATCHED + max(sizes))
    watched, mates = images[:WATCHED], images[WATCHED:]
    each = [found(model, [image]) for image in watched]
    alone = {name: torch.cat([one[name] for one in each]) for name in each[0]}
    largest = dict.fromkeys(alone, 0.0)
    for size in sizes:
        count = min(size, WATCHED)
        first = count // 2
        batch = [*watched[:first], *mates[: size - count], *watched[first:count]]
        places = [*range(first), *range(size - count + first, size)]
        for name, together in found(model, batch).items():
            difference = (together[places] - alone[name][:count]).abs() / alone[name][:count]
            largest[name] = max(largest[name], float(difference.max()))
    return largest


@torch.inference_mode()
def difference_of_few_targets(detector: Student) -> float:
    """Of the distances of the smallest student there is: of the few values that it misses by, some are next to nothing."""
    embedded = embeddings(32, seed=3)
    alone = torch.cat([detector.distances(one) for one in torch.split(embedded, 1)])
    together = (detector.distances(embedded[:size]) for size in SIZES[1])
    return max(float(((found - alone[: len(found)]).abs() / alone[: len(found)]).max()) for found in together)


def main(folder: Path) -> None:
    """Measure each bundle as it runs here, and as a build of torch without the fused operations would run it."""
    differences = {}
    small = Student.from_tensors(load_file(folder / FEW_TARGETS), torch.device("cpu"))
    for threads in SIZES:
        torch.set_num_threads(threads)
        differences[f"few targets, as here, threads {threads}"] = {"distances": difference_of_few_targets(small)}
    for network in ("as here", "plain"):
        if network == "plain":
            for module in (runtime, student):
                vars(module)["has_fused_operations"] = lambda: False
        for bundle in sorted(path for path in folder.iterdir() if path.is_dir()):
            model = read_dl_model(bundle)
            for threads, sizes in SIZES.items():
                torch.set_num_threads(threads)
                differences[f"{bundle.name}, {network}, threads {threads}"] = largest_differences(model, sizes)
    print(json.dumps({"capability": torch.backends.cpu.get_cpu_capability(), "differences": differences}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
