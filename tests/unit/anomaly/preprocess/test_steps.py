from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.errors import BundleError, ParameterError, StepError
from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.preprocess import steps as preprocess_steps
from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import (
    DLPreprocessParam,
    OptionValue,
    PreprocessStep,
    create_dl_preprocess_param,
)
from inspector.anomaly.preprocess.steps import (
    ENTRY_POINT_GROUP,
    StepFunction,
    check_preprocess_steps,
    register_preprocess_step,
)
from inspector.anomaly.types import DLSample
from inspector.stages.decode import decode_frame
from tests.frames import camera_frame
from tests.models import encoded, ok_picture, tiny_model
from trainer.pictures.files import read_samples

CPU = torch.device("cpu")
Picture = NDArray[np.uint8]
Options = dict[str, OptionValue]


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(preprocess_steps, "_steps", {})


def darkened(image: Picture, options: Options) -> Picture:
    return np.asarray(image // int(options.get("divisor", 2)), dtype=np.uint8)


def a_param(*names: str, **options: OptionValue) -> DLPreprocessParam:
    steps = tuple(PreprocessStep(name=name, version="1", options=options) for name in names)
    return create_dl_preprocess_param(image_width=64, image_height=64, preprocess_steps=steps)


def register(function: StepFunction, name: str = "test.step", version: str = "1") -> None:
    register_preprocess_step(name, version)(function)


def test_a_step_runs_with_its_options_before_everything_else() -> None:
    register(darkened)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    plain = create_dl_preprocess_param(image_width=64, image_height=64)
    for divisor in (1, 3):
        found = preprocess_images([image], a_param("test.step", divisor=divisor), CPU)
        assert torch.equal(found, preprocess_images([image // divisor], plain, CPU))


def test_steps_run_in_their_order_and_may_change_the_channels() -> None:
    register(darkened, "test.dark")
    register(lambda image, options: image[..., 0].copy(), "test.red")
    register(lambda image, options: np.repeat(image[..., None] + np.uint8(1), 3, axis=2), "test.colour")
    image = np.random.default_rng(0).integers(0, 200, (64, 64, 3), dtype=np.uint8)
    plain = create_dl_preprocess_param(image_width=64, image_height=64)
    found = preprocess_images([image], a_param("test.dark", "test.red", "test.colour"), CPU)
    expected = np.repeat((image[..., :1] // 2 + 1).astype(np.uint8), 3, axis=2)
    assert torch.equal(found, preprocess_images([expected], plain, CPU))


def test_a_decorated_function_stays_what_it_is_and_may_be_registered_again() -> None:
    decorate = register_preprocess_step("test.step", "1")
    assert decorate(darkened) is darkened
    assert decorate(darkened) is darkened  # a module that is loaded twice
    with pytest.raises(ParameterError, match=r"preprocess step test.step 1 is already registered by .*darkened; give"):
        decorate(lambda image, options: image)
    register(lambda image, options: image, version="2")  # another version is another step


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("a b", "1"), ("a", ""), ("a", "1/2"), ("a" * 65, "1")])
def test_refused_names_and_versions(name: str, version: str) -> None:
    with pytest.raises(ParameterError, match="a step's name and version may contain letters, digits"):
        register_preprocess_step(name, version)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda image: image[:-1], r"must return \(20, 30\) or \(20, 30, 3\) uint8, got \(19, 30, 3\) uint8"),
        (lambda image: image.astype(np.float32), r"got \(20, 30, 3\) float32"),
        (lambda image: image[..., :2], r"got \(20, 30, 2\) uint8"),
        (lambda image: image[..., None], r"got \(20, 30, 3, 1\) uint8"),
        (lambda image: None, "got NoneType"),
        (lambda image: 1 // 0, "failed: ZeroDivisionError"),
        (lambda image: image.__setitem__((0, 0), 1), "failed: ValueError: assignment destination is read-only"),
    ],
)
def test_a_step_that_does_not_keep_its_word_is_named(made: Callable[[Picture], object], message: str) -> None:
    register(lambda image, options: made(image))  # type: ignore[arg-type,return-value]
    with pytest.raises(StepError, match=f"preprocess step test.step 1 .*{message}"):
        preprocess_images([np.zeros((20, 30, 3), np.uint8)], a_param("test.step"), CPU)


def test_want_of_memory_stays_what_it_is() -> None:
    def greedy(image: Picture, options: Options) -> Picture:
        raise MemoryError("no room")

    register(greedy)
    with pytest.raises(MemoryError, match="no room"):
        preprocess_images([np.zeros((20, 30), np.uint8)], a_param("test.step"), CPU)


def test_a_missing_step_and_another_version_are_refused_with_what_to_install() -> None:
    with pytest.raises(
        StepError, match=r"test.step 1 is needed, but it is not installed; install the package with this v"
    ):
        check_preprocess_steps(a_param("test.step"))
    register(darkened, version="2")
    register(darkened, version="0.9")
    with pytest.raises(StepError, match=r"test.step 1 is needed, but installed is 0.9, 2; install .* this version"):
        check_preprocess_steps(a_param("test.step"))
    with pytest.raises(StepError, match=r"test.step 1 is needed"):
        preprocess_images([np.zeros((20, 30), np.uint8)], a_param("test.step"), CPU)
    register(darkened)
    check_preprocess_steps(a_param("test.step"))


def test_options_are_read_only_and_a_step_gets_its_own_copy() -> None:
    step = PreprocessStep(name="a", version="1", options={"gain": 1.5})
    with pytest.raises(TypeError, match="does not support item assignment"):
        step.options["gain"] = 2  # type: ignore[index]

    def greedy(image: Picture, options: Options) -> Picture:
        options.clear()
        return image

    register(greedy)
    param = a_param("test.step", divisor=3)
    preprocess_images([np.zeros((20, 30), np.uint8)] * 2, param, CPU)
    assert dict(param.preprocess_steps[0].options) == {"divisor": 3}


# ------------------------------------------------------------------------------------------------ installed packages


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a package whose module holds this code, with an entry point to its `step`."""

    def install(code: str) -> None:
        (tmp_path / "acme_steps_of_a_test.py").write_text(code)
        info = tmp_path / "acme_steps-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-steps\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nacme.step = acme_steps_of_a_test:step\n")
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    sys.modules.pop("acme_steps_of_a_test", None)


STEP_CODE = """
from inspector.anomaly.preprocess.steps import register_preprocess_step

@register_preprocess_step("acme.step", "{version}")
def step(image, options):
    return 255 - image
"""


def test_a_step_of_an_installed_package_is_found(installed: Callable[[str], None]) -> None:
    installed(STEP_CODE.format(version="1"))
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    plain = create_dl_preprocess_param(image_width=64, image_height=64)
    check_preprocess_steps(a_param("acme.step"))
    found = preprocess_images([image], a_param("acme.step"), CPU)
    assert torch.equal(found, preprocess_images([255 - image], plain, CPU))


def test_a_package_with_another_version_of_the_step(installed: Callable[[str], None]) -> None:
    installed(STEP_CODE.format(version="7"))
    with pytest.raises(StepError, match=r"acme.step 1 is needed, but installed is 7"):
        check_preprocess_steps(a_param("acme.step"))


def test_a_broken_package_is_named(installed: Callable[[str], None]) -> None:
    installed("raise RuntimeError('half installed')")
    with pytest.raises(
        StepError,
        match=r"acme.step cannot be loaded from acme_steps_of_a_test:step: RuntimeError: half installed; repair or reinstall the package",
    ):
        check_preprocess_steps(a_param("acme.step"))


# ------------------------------------------------------------------------------------------------- trainer and service


def a_model() -> AnomalyModel:
    """A tiny model whose pictures go through the step."""
    plain = tiny_model()
    network = FeatureNetwork(a_param("test.step", divisor=1), plain.network.runtime, plain.network.embedding)
    return AnomalyModel(
        identity=plain.identity,
        network=network,
        detector=plain.detector,
        scale=plain.scale,
        rule=plain.rule,
        geometry=plain.geometry,
        thresholds=plain.thresholds,
    )


def test_trainer_and_service_give_the_step_the_same_pixels_in_full_scale(tmp_path: Path) -> None:
    seen: list[Picture] = []

    def watching(image: Picture, options: Options) -> Picture:
        seen.append(image)
        return darkened(image, options)

    register(watching)
    model = a_model()
    param = model.preprocess_param
    assert param.decode_target is None
    data = encoded(ok_picture(np.random.default_rng(0), width=800, height=800), "jpeg")
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    ((trained,),) = read_samples([path], param)
    frame = camera_frame("a", 1, 1_800_000_000_000_000, image=data, encoding="jpeg")
    served = decode_frame(frame, model, ImageLimits())
    assert isinstance(served, DLSample)
    one, other = (preprocess_images([sample.image], param, CPU) for sample in (trained, served))
    assert torch.equal(one, other)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert seen[0].shape == (800, 800, 3)


def test_a_bundle_remembers_its_steps_and_is_refused_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(darkened)
    model = a_model()
    golden = [ok_picture(np.random.default_rng(0))]
    path = tmp_path / "model"
    write_dl_model(path, model, created_at="2026-01-01T00:00:00+00:00", golden_images=golden)
    found = read_dl_model(path)
    assert found.preprocess_param == model.preprocess_param
    assert found.launch(golden).finish()[0].anomaly_score == model.launch(golden).finish()[0].anomaly_score
    monkeypatch.setattr(preprocess_steps, "_steps", {})
    with pytest.raises(
        BundleError, match=r"model: preprocess step test.step 1 is needed, but it is not installed; insta"
    ):
        read_dl_model(path)
    register(darkened, version="2")
    with pytest.raises(BundleError, match=r"test.step 1 is needed, but installed is 2"):
        read_dl_model(path)


def test_many_threads_find_and_run_a_step_at_once(installed: Callable[[str], None]) -> None:
    installed(STEP_CODE.format(version="1"))
    param = a_param("acme.step")
    images = [ok_picture(np.random.default_rng(seed)) for seed in range(8)]
    start = threading.Barrier(8)

    def work(image: Picture) -> torch.Tensor:
        start.wait()
        return preprocess_images([image], param, CPU)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, images))
    for image, tensor in zip(images, found, strict=True):
        assert torch.equal(tensor, preprocess_images([image], param, CPU))


def test_warming_up_gives_a_step_a_picture_as_in_the_training() -> None:
    seen: list[tuple[int, ...]] = []

    def watching(image: Picture, options: Options) -> Picture:
        seen.append(image.shape)
        return image

    register(watching)
    a_model().warm_up([2])
    assert seen == [(64, 64, 3)] * 2
