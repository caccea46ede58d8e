"""A batch never changes a verdict, whatever the processor: each instruction set that this one has, in a process of its own.

Which kernels torch, oneDNN and MKL take, and so in which order they add up, depends on the processor, on the size of the batch and on the
number of threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.detectors.student import Student
from inspector.anomaly.model.model import BATCH_TOLERANCE
from tests.models import make_bundle
from tests.unit.anomaly.detectors.test_student import embeddings, trained
from tests.unit.anomaly.model.batch_differences import FEW_TARGETS

CHECKOUT = Path(__file__).resolve().parents[4]

LIMITS = {
    "DEFAULT": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "AVX512": {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    },
}
"""By the name that torch gives the capability; what this processor has beyond them (AMX, say) is there without a limit."""

SIZES: dict[DetectorName, tuple[int, int]] = {
    "padim": (160, 96),
    "patchcore": (64, 64),
    "student": (96, 64),
    "fused": (96, 64),
}
"""(width, height) of the pictures."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for detector in get_args(DetectorName):
        width, height = SIZES[detector]
        make_bundle(folder, name=detector, detector=detector, width=width, height=height)
    few = Student(*trained(embeddings(48))).tensors()
    save_file({name: tensor.contiguous() for name, tensor in few.items()}, folder / FEW_TARGETS)
    return folder


def differences(bundles: Path, limits: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.unit.anomaly.model.batch_differences", str(bundles)]
    environment = {name: value for name, value in os.environ.items() if name not in LIMITS["AVX2"]} | limits
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


@pytest.mark.parametrize("instructions", [*LIMITS, "all"])
def test_no_batch_changes_a_distance_a_score_or_a_map(instructions: str, bundles: Path) -> None:
    here = torch.backends.cpu.get_cpu_capability()
    below = list(LIMITS)[: list(LIMITS).index(here)] if here in LIMITS else []
    if instructions != "all" and instructions not in below:
        pytest.skip(f"this processor has {here}: without a limit it goes no other way, or it has less")
    measured = differences(bundles, LIMITS.get(instructions, {}))
    if instructions != "all":
        assert measured["capability"] == instructions  # else nothing was limited
    cases = measured["differences"]
    assert {name.split(",")[0] for name in cases} == {*get_args(DetectorName), "few targets"}
    beyond = {name: found for name, found in cases.items() if not is_within(name, found)}
    assert beyond == {}


def is_within(case: str, found: dict[str, float]) -> bool:
    """Scores always; distances and maps twice as much with torch's own convolution.

    The generated parts hardly vary, so their distances are small beside the features: rounding in these counts.
    """
    allowed = dict.fromkeys(found, 2 * BATCH_TOLERANCE if ", plain," in case else BATCH_TOLERANCE)
    return all(difference <= (allowed | {"scores": BATCH_TOLERANCE})[name] for name, difference in found.items())
