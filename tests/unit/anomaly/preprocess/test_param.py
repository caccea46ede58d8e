from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.choices import NormalizationType
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.preprocess.file import read_dl_preprocess_param, write_dl_preprocess_param
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import (
    PIXELS_VERSION,
    DLPreprocessParam,
    PreprocessStep,
    create_dl_preprocess_param,
    create_dl_preprocess_param_from_model,
)
from tests.models import ok_picture, tiny_model

CPU = torch.device("cpu")
DOMAIN = ImageDomain.rectangle(8, 4, 40, 30, image_width=64, image_height=48)


def created(**changes: Any) -> DLPreprocessParam:
    return create_dl_preprocess_param(**({"image_width": 96, "image_height": 64} | changes))


def preprocessed(image: NDArray[np.uint8], **changes: Any) -> NDArray[np.float32]:
    return preprocess_images([image], created(**changes), CPU)[0].numpy()


# --------------------------------------------------------------------------------------------------- normalisation


def by_hand(
    image: NDArray[np.uint8], kind: NormalizationType, low: float, high: float, channels: int
) -> NDArray[np.float64]:
    """The documented formulas, written out for a picture of the input's size: (3, H, W) float64."""
    planes = np.stack([image] * 3 if image.ndim == 2 else list(image.transpose(2, 0, 1))).astype(np.float64)
    if channels == 1:
        gray = 0.299 * planes[0] + 0.587 * planes[1] + 0.114 * planes[2]
        planes = np.stack([gray] * 3)
    if kind == "none":
        return low + planes * (high - low) / 255
    if kind == "constant_values":
        return (planes - 127) / 128
    smallest, largest = planes.min((1, 2), keepdims=True), planes.max((1, 2), keepdims=True)
    if kind == "first_channel":
        smallest, largest = smallest[:1], largest[:1]
    return np.asarray(low + (planes - smallest) * (high - low) / (largest - smallest))


@pytest.mark.parametrize("is_gray", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("none", -2, 2),
        ("none", -127, 128),
        ("all_channels", -2, 2),
        ("all_channels", -127, 128),
        ("first_channel", -2, 2),
        ("first_channel", 0, 1),
        ("constant_values", -127 / 128, 1),
    ],
)
def test_each_normalisation_is_what_it_says(
    kind: NormalizationType, low: float, high: float, channels: int, *, is_gray: bool
) -> None:
    shape = (64, 96) if is_gray else (64, 96, 3)
    image = np.random.default_rng(0).integers(20, 181, shape, dtype=np.uint8)
    if not is_gray:
        image[..., 1] //= 2
    found = preprocessed(
        image, normalization_type=kind, image_range_min=low, image_range_max=high, image_num_channels=channels
    )
    expected = by_hand(image, kind, low, high, channels)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * (high - low))


@given(level=st.integers(0, 255), kind=st.sampled_from(["all_channels", "first_channel"]), width=st.integers(1, 300))
def test_a_flat_picture_becomes_the_middle_of_the_range(level: int, kind: NormalizationType, width: int) -> None:
    """Nothing is divided by zero, and the rounding of the resize is not stretched to a picture of its own."""
    found = preprocessed(
        np.full((50, width, 3), level, np.uint8), normalization_type=kind, image_range_min=-127, image_range_max=128
    )
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_a_flat_channel_beside_others_is_flat_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    image[..., 1] = 77
    found = preprocessed(image, normalization_type="all_channels", image_range_min=-2.0, image_range_max=2.0)
    assert np.abs(found[1]).max() == 0
    assert (found[0].min(), found[0].max()) == pytest.approx((-2, 2))


def test_gray_of_a_colour_picture_has_three_equal_channels_unless_constants_differ() -> None:
    image = ok_picture(np.random.default_rng(0), width=96, height=64)
    for kind in ("none", "all_channels", "first_channel"):
        found = preprocessed(image, normalization_type=kind, image_num_channels=1)
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("kind", ["none", "all_channels", "first_channel"])
def test_a_picture_does_not_depend_on_those_beside_it(kind: NormalizationType) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((64, 96), (1, 1), (333, 77))]
    param = created(normalization_type=kind)
    together = preprocess_images(images, param, CPU)
    for index, image in enumerate(images):
        assert torch.equal(together[index], preprocess_images([image], param, CPU)[0])


# ------------------------------------------------------------------------------------------------------ parameters


IMAGENET: dict[str, Any] = {
    "mean_values_normalization": (123.675, 116.28, 103.53),
    "deviation_values_normalization": (58.395, 57.12, 57.375),
}
"""What older programs stored, whatever the backbone."""


@pytest.mark.parametrize("stored_range", ["", '"image_range_min": -2.0, "image_range_max": 2.0,'])
def test_what_older_bundles_hold_still_means_the_same(stored_range: str) -> None:
    old = DLPreprocessParam.model_validate_json(
        '{"model_type": "anomaly_detection", "image_width": 96, "image_height": 64, "image_num_channels": 3,'
        '"normalization_type": "constant_values", "mean_values_normalization": [123.675, 116.28, 103.53],'
        f'"deviation_values_normalization": [58.395, 57.12, 57.375], {stored_range} "domain_handling": "full_domain",'
        '"decode_margin": 1.0}'
    )
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    found = preprocess_images([image], old, CPU)[0].numpy()
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    np.testing.assert_allclose(found, ((image - mean) / deviation).transpose(2, 0, 1), rtol=1e-5, atol=1e-5)
    assert DLPreprocessParam.model_validate_json(old.model_dump_json()) == old


def test_a_range_that_is_not_given_is_the_one_of_mean_and_deviation() -> None:
    assert (created().image_range_min, created().image_range_max) == (-127 / 128, 1)
    imagenet = created(**IMAGENET, normalization_type="none")
    assert imagenet.image_range_min == pytest.approx(-123.675 / 58.395)
    assert imagenet.image_range_max == pytest.approx((255 - 103.53) / 57.375)


def test_without_normalisation_the_inputs_are_those_of_the_constants_where_channels_are_alike() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        preprocessed(image, normalization_type="none"), preprocessed(image), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_width": 100}, "image_width: must be a multiple of 32, got 100"),
        ({"image_num_channels": 2}, "image_num_channels: input should be 1 or 3"),
        ({"normalization_type": "rms"}, "normalization_type: input should be 'none'"),
        (
            {"image_range_min": -127, "image_range_max": 128},
            "constant_values gives the range -0.992188 to 1, got -127 to 128",
        ),
        ({"deviation_values_normalization": (1, 0, 1)}, "deviation_values_normalization: deviations must be positive"),
        ({"normalization_type": "none", "image_range_min": 2}, "image_range_min must be less than image_range_max"),
        ({"normalization_type": "none", "image_range_max": float("inf")}, "image_range_max: input should be a finite"),
        ({"domain": DOMAIN}, "full_domain would ignore the given domain; choose keep_domain or crop_domain"),
        ({"domain_handling": "keep_domain"}, "keep_domain needs a domain; give one, or choose full_domain"),
        ({"domain_handling": "crop_domain"}, "crop_domain needs a domain; give one, or choose full_domain"),
        ({"domain_handling": "grow_domain"}, "domain_handling: input should be 'full_domain'"),
        ({"class_ids_background": []}, "class_ids_background is not known"),
        ({"model_type": "segmentation"}, "model_type: input should be 'anomaly_detection'"),
    ],
)
def test_refusals_of_the_parameters(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=f"^preprocessing parameters: {message}"):
        created(**changes)


def test_from_a_trained_model() -> None:
    model = tiny_model(width=96)
    found = create_dl_preprocess_param_from_model(model)
    assert found == model.preprocess_param
    kept = create_dl_preprocess_param_from_model(model, domain_handling="keep_domain", domain=DOMAIN)
    assert (kept.input_size, kept.domain) == ((96, 64), DOMAIN)


@dataclass(frozen=True)
class Requirements:
    type: str = "anomaly_detection"
    size_step: int = 32
    image_width: int = 64
    image_height: int = 32
    image_num_channels: Literal[1, 3] = 1
    image_range_min: float = -127
    image_range_max: float = 128
    mean_values_normalization: tuple[float, float, float] = (100, 110, 120)
    deviation_values_normalization: tuple[float, float, float] = (50, 55, 60)


@dataclass(frozen=True)
class Untrained:
    param: Requirements


def test_from_a_model_that_is_not_trained_yet() -> None:
    found = create_dl_preprocess_param_from_model(Untrained(Requirements()), normalization_type="none")
    assert found == created(
        image_width=64,
        image_height=32,
        image_num_channels=1,
        normalization_type="none",
        image_range_min=-127,
        image_range_max=128,
        mean_values_normalization=(100, 110, 120),
        deviation_values_normalization=(50, 55, 60),
    )
    assert create_dl_preprocess_param_from_model(Requirements(), normalization_type="none") == found


def test_from_what_is_no_such_model() -> None:
    with pytest.raises(ParameterError, match="model_type: input should be 'anomaly_detection'"):
        create_dl_preprocess_param_from_model(Requirements(type="classification"), normalization_type="none")
    with pytest.raises(ParameterError, match=r"constant_values gives the range -2 to 3\.1, got -127 to 128"):
        create_dl_preprocess_param_from_model(Requirements())
    with pytest.raises(ParameterError, match="str is not a model: it has no size_step, image_width"):
        create_dl_preprocess_param_from_model("a model")  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- digest

CHANGES: dict[str, list[dict[str, Any]]] = {
    "image_width": [{"image_width": n} for n in (32, 64, 128)],
    "image_height": [{"image_height": n} for n in (32, 96)],
    "step": [{"size_step": 16}, {"size_step": 2}],
    "channels": [{"image_num_channels": 1}],
    "normalisation": [{"normalization_type": n} for n in ("none", "all_channels", "first_channel")]
    + [{"normalization_type": "none", "image_range_min": -1.0}, {"normalization_type": "none", "image_range_max": 3.0}],
    "mean": [{"mean_values_normalization": (127.0, 127.0, 127.5)}],
    "deviation": [{"deviation_values_normalization": (128.0, 128.0, 127.5)}],
    "margin": [{"decode_margin": 2.0}],
    "domain": [
        {"domain_handling": handling, "domain": domain}
        for handling in ("keep_domain", "crop_domain")
        for domain in (DOMAIN, ImageDomain.rectangle(8, 4, 40, 31, image_width=64, image_height=48))
    ],
    "orientation": [{"apply_exif": True}],
    "steps": [
        {"preprocess_steps": steps}
        for steps in (
            (PreprocessStep(name="a", version="1"),),
            (PreprocessStep(name="a", version="2"),),
            (PreprocessStep(name="b", version="1"),),
            (PreprocessStep(name="a", version="1", options={"gain": 1}),),
            (PreprocessStep(name="a", version="1", options={"gain": 1.5}),),
            (PreprocessStep(name="a", version="1", options={"gain": True}),),
            (PreprocessStep(name="a", version="1", options={"gain": "1"}),),
            (PreprocessStep(name="a", version="1"), PreprocessStep(name="b", version="1")),
            (PreprocessStep(name="b", version="1"), PreprocessStep(name="a", version="1")),
        )
    ],
}
some_changes = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in CHANGES.items()})


def changed(chosen: dict[str, dict[str, Any]]) -> DLPreprocessParam:
    return created(**{key: value for change in chosen.values() for key, value in change.items()})


@given(first=some_changes, second=some_changes)
def test_parameters_have_the_same_digest_if_and_only_if_they_are_the_same(
    first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]
) -> None:
    one, other = changed(first), changed(second)
    assert (one.digest == other.digest) == (one.model_dump_json() == other.model_dump_json())
    # However they were stored.
    assert DLPreprocessParam.model_validate_json(one.model_dump_json()).digest == one.digest


def test_every_field_has_a_part_in_the_digest() -> None:
    plain = created()
    seen = {plain.digest}
    for changes in CHANGES.values():
        for change in changes:
            digest = created(**change).digest
            assert digest not in seen, change
            seen.add(digest)
    fields = {key for changes in CHANGES.values() for change in changes for key in change}
    assert fields | {"model_type", "tile"} == set(DLPreprocessParam.model_fields)


def test_the_decoders_version_has_a_part_in_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = created().digest
    monkeypatch.setattr("inspector.anomaly.preprocess.param.PIXELS_VERSION", PIXELS_VERSION + 1)
    assert created().digest != before


# ------------------------------------------------------------------------------------------------------------- file


@given(chosen=some_changes)
def test_a_file_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("param") / "preprocess.json"
    param = changed(chosen)
    write_dl_preprocess_param(path, param)
    found = read_dl_preprocess_param(path)
    assert found == param
    assert found.digest == param.digest
    assert hash(found) == hash(param)


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "preprocess.json"
    write_dl_preprocess_param(path, created())
    write_dl_preprocess_param(str(path), created(image_width=128))
    assert read_dl_preprocess_param(str(path)).image_width == 128
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"preprocess.json cannot be written: No such file or directory"):
        write_dl_preprocess_param(tmp_path / "missing" / "preprocess.json", created())
    (tmp_path / "folder").mkdir()
    with pytest.raises(ParameterError, match="folder cannot be written: Is a directory"):
        write_dl_preprocess_param(tmp_path / "folder", created())
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"is not JSON \(.*\); write it with write_dl_preprocess_param"),
        ("[1]", "does not contain preprocessing parameters"),
        ("{}", "does not contain preprocessing parameters"),
        ('{"preprocess_param": {}}', "has format version None, but this program reads 1"),
        (
            '{"format_version": 2, "preprocess_param": {}}',
            "has format version 2, but this program reads 1; write it again",
        ),
        ('{"format_version": 1, "preprocess_param": {"image_width": 64}}', "image_height is missing"),
        ('{"format_version": 1, "preprocess_param": 3}', "input should be an object"),
        ("[" * 10_000, "is not JSON"),
        (" " * (2**20 + 1), "it has more than 1048576 bytes"),
    ],
)
def test_refused_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "preprocess.json"
    path.write_text(content)
    with pytest.raises(ParameterError, match=message) as caught:
        read_dl_preprocess_param(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"none.json cannot be read: No such file or directory"):
        read_dl_preprocess_param(tmp_path / "none.json")


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "preprocess.json"
    write_dl_preprocess_param(
        path, created(preprocess_steps=(PreprocessStep(name="a", version="1", options={"n": 2}),))
    )
    document = json.loads(path.read_text())
    assert document["format_version"] == 1
    assert document["preprocess_param"]["preprocess_steps"] == [{"name": "a", "version": "1", "options": {"n": 2}}]
