from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inspector.anomaly.model.model import AnomalyModel
from tests.models import make_bundle, tiny_model


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    return tiny_model()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle; tests spoil copies of it."""
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """A sound bundle to spoil."""
    return Path(shutil.copytree(written, tmp_path / "copy"))
