from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.models import ok_image


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of different sizes, each to be told from the others by its width."""
    rng = np.random.default_rng(0)
    made = [tmp_path / f"{index}.png" for index in range(21)]
    for index, path in enumerate(made):
        path.write_bytes(ok_image(rng, width=64 + index, height=40))
    return made
