from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import BundleError, GeometryError, ParameterError
from inspector.anomaly.preprocess.file import write_dl_preprocess_param
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import ImageGeometry
from trainer.prepare.split import HELD_OUT_MIN, PROOF_MIN, SplitParam
from trainer.settings.commands import FitSettings
from trainer.workflow.arguments import initial_model, preprocessing, split_param, threshold_param, train_param

GEOMETRY = ImageGeometry(width=800, height=600, channels=3)


def settings(**values: Any) -> FitSettings:
    return FitSettings.model_validate({"images": Path("in"), "out": Path("out")} | values)


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({}, (352, 256)),
        ({"domain": "0,0,400,100"}, (1024, 256)),
        ({"domain": "0,0,400,100", "domain_handling": "keep_domain"}, (352, 256)),
        ({"domain": "0,0,400,100", "width": 128, "height": 64}, (128, 64)),
    ],
)
def test_the_input_has_the_aspect_of_what_the_model_sees(values: dict[str, Any], size: tuple[int, int]) -> None:
    given = settings(**values)
    model = initial_model(given, GEOMETRY)
    assert (model.param.image_width, model.param.image_height) == size
    assert preprocessing(given, model, GEOMETRY).input_size == size


@pytest.mark.parametrize(
    ("values", "size", "tile"),
    [
        ({"tile": 128}, (128, 128), TileParam(width=128, height=128, overlap=32)),
        (
            {"tile": 500, "tile_overlap": 0, "width": 256, "height": 256},
            (256, 256),
            TileParam(width=500, height=500, overlap=0),
        ),
        ({"tile": 128, "domain": "0,0,400,100"}, (128, 128), TileParam(width=128, height=128)),
    ],
)
def test_a_tile_is_the_input_unless_another_size_is_given(
    values: dict[str, Any], size: tuple[int, int], tile: TileParam
) -> None:
    given = settings(**values)
    param = preprocessing(given, initial_model(given, GEOMETRY), GEOMETRY)
    assert (param.input_size, param.tile) == (size, tile)


def test_tiles_of_a_domain_that_is_no_rectangle_are_refused_before_an_image_is_read() -> None:
    for values in ({"domain": "0,0 400,0 0,300"}, {"domain": "0,0,400,100", "domain_handling": "keep_domain"}):
        with pytest.raises(ValidationError, match="--tile cuts a rectangle: give --domain as x,y,width,height"):
            settings(tile=128, **values)
    assert settings(tile=128, domain="0,0,400,100").tile == 128


def test_everything_that_is_set_is_the_models() -> None:
    given = settings(detector="patchcore", coreset=77, backbone="efficientnet_lite2", score_rule="top-k:0.2", seed=9)
    model = initial_model(given, GEOMETRY)
    assert (model.param.detector, model.param.coreset, model.param.backbone) == ("patchcore", 77, "efficientnet_lite2")
    assert model.param.score_rule.top_share == 0.2
    assert train_param(given, model).seed == 9


def test_the_model_is_trained_on_the_cpu_unless_a_device_is_given() -> None:
    assert initial_model(settings(), GEOMETRY).param.device == "cpu"
    assert initial_model(settings(device="cpu"), GEOMETRY).param.device == "cpu"


def test_a_device_that_is_given_reaches_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert initial_model(settings(device="cuda:1"), GEOMETRY).param.device == "cuda:1"
    with pytest.raises(BundleError, match=r"device 'cuda:9' was requested, but torch finds 2 CUDA device"):
        initial_model(settings(device="cuda:9"), GEOMETRY)


def test_the_fit_never_calibrates_on_ok_test_images() -> None:
    for method in ("ok_only", "halcon", "halcon_corrected"):
        assert threshold_param(settings(threshold_method=method)).image_split == "validation"


def test_a_file_with_a_domain_is_refused_for_pictures_of_any_size(tmp_path: Path) -> None:
    domain = ImageDomain.rectangle(0, 0, 400, 300, image_width=800, image_height=600)
    param = DLPreprocessParam(image_width=64, image_height=64, domain_handling="keep_domain", domain=domain)
    write_dl_preprocess_param(tmp_path / "param.json", param)
    given = settings(preprocess_param=tmp_path / "param.json")
    assert preprocessing(given, initial_model(given, GEOMETRY), GEOMETRY) == param
    free = GEOMETRY.model_copy(update={"rule": "any"})
    with pytest.raises(GeometryError, match="leave out the domain"):
        preprocessing(given, initial_model(given, free), free)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"none\.json"):
        initial_model(settings(preprocess_param=tmp_path / "none.json"), GEOMETRY)


def test_images_are_held_out_unless_suspects_are_to_be_found_among_them() -> None:
    assert split_param(settings()) == SplitParam()
    assert split_param(settings(drop_suspects=2)).calibration_percent == 0


def test_images_are_held_out_earlier_where_a_bound_is_to_be_proven() -> None:
    assert split_param(settings()).held_out_min == HELD_OUT_MIN
    assert split_param(settings(quality="auto")).held_out_min == HELD_OUT_MIN
    assert split_param(settings(detector="student")).held_out_min == HELD_OUT_MIN
    assert split_param(settings(max_false_rejects=0.05)).held_out_min == PROOF_MIN
