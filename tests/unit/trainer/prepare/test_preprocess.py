from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import StepError
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam, PreprocessStep, create_dl_preprocess_param
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.preprocess.steps import register_preprocess_step
from inspector.anomaly.types import DLSample
from tests.models import encoded, nok_picture, ok_picture, tiny_model
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError, OutputError
from trainer.prepare.preprocess import preprocess_dl_dataset, read_dl_samples
from trainer.prepare.sample_store import write_sample

CPU = torch.device("cpu")
PARAM = create_dl_preprocess_param(image_width=64, image_height=64)
OTHER = create_dl_preprocess_param(image_width=64, image_height=64, normalization_type="none")
NUM_OK, NUM_NOK = 10, 2


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten ok pictures, a dark spot with its mask, and one without."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    for name in ("good", "spot", "ground_truth/spot"):
        (folder / name).mkdir(parents=True)
    for index in range(NUM_OK):
        (folder / "good" / f"{index}.jpg").write_bytes(encoded(ok_picture(rng, width=160, height=160), "jpeg"))
    for index in range(NUM_NOK):
        (folder / "spot" / f"{index}.png").write_bytes(encoded(nok_picture(rng, width=160, height=160)))
    write_mask(folder, slice(40, 80))
    return folder


def write_mask(folder: Path, rows: slice) -> None:
    mask = np.zeros((160, 160), np.uint8)
    mask[rows, 20:60] = 255
    assert cv2.imwrite(str(folder / "ground_truth" / "spot" / "0.png"), mask)


def files_of(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file by name, with its inode (another after it was written again) and its bytes."""
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def decoded(dataset: DLDataset, index: int, param: DLPreprocessParam = PARAM) -> NDArray[np.uint8]:
    path = dataset.image_path(dataset.samples[index])
    return decode_image(path.read_bytes(), target=param.decode_target, margin=param.decode_margin).image


def test_what_is_read_back_is_what_the_model_would_see(images: Path, tmp_path: Path) -> None:
    dataset = read_dl_dataset_anomaly(images)
    told: list[tuple[str, int, int]] = []
    done = preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM, progress=lambda *at: told.append(at))
    assert (done.preprocess_param, done.dlsample_dir) == (PARAM, tmp_path / "cache" / "samples")
    assert done.samples[0].dlsample_file_name == "0_dlsample.safetensors"
    assert [path.name for path in sorted((tmp_path / "cache").iterdir())] == ["dl_dataset.json", "samples"]
    assert told == [("preprocess", n, NUM_OK + NUM_NOK) for n in range(NUM_OK + NUM_NOK + 1)]
    for index, sample in enumerate(read_dl_samples(done, done.samples)):
        assert sample.preprocessed is not None
        assert torch.equal(sample.preprocessed, preprocess_images([decoded(dataset, index)], PARAM, CPU)[0])
        assert (sample.image_id, sample.image_label) == (index, dataset.samples[index].image_label)
        assert sample.preprocess_digest == PARAM.digest
        mask = dataset.read_mask(dataset.samples[index])
        truth = sample.anomaly_ground_truth
        assert (truth is None) == (mask is None)
        if truth is not None and mask is not None:
            whole = DLSample(np.zeros((160, 160), np.uint8), 160, 160, 1, anomaly_ground_truth=mask)
            preprocess_dl_samples([whole], PARAM)
            np.testing.assert_array_equal(truth, whole.anomaly_ground_truth)
    document = json.loads((tmp_path / "cache" / "dl_dataset.json").read_text())
    assert DLPreprocessParam.model_validate(document["preprocess_param"]) == PARAM
    assert [entry["image_file_name"] for entry in document["samples"]] == [s.image_file_name for s in dataset.samples]


def test_the_model_scores_what_is_read_back_as_the_pictures(images: Path, tmp_path: Path) -> None:
    model = tiny_model()
    dataset = read_dl_dataset_anomaly(images)
    done = preprocess_dl_dataset(dataset, tmp_path / "cache", model.preprocess_param)
    found = apply_dl_model(model, list(read_dl_samples(done, done.samples)))
    pictures = [decoded(dataset, index, model.preprocess_param) for index in range(len(dataset.samples))]
    expected = apply_dl_model(model, gen_dl_samples_from_images(pictures))
    assert [r.anomaly_score for r in found] == pytest.approx([r.anomaly_score for r in expected], rel=1e-5)


def test_a_domain_and_a_step_reach_the_samples(images: Path, tmp_path: Path) -> None:
    @register_preprocess_step("test.inverted", "1")
    def inverted(image: NDArray[np.uint8], options: object) -> NDArray[np.uint8]:
        return 255 - image

    param = create_dl_preprocess_param(
        image_width=64,
        image_height=64,
        domain_handling="crop_domain",
        domain=ImageDomain.rectangle(16, 32, 64, 64, image_width=160, image_height=160),
        preprocess_steps=(PreprocessStep(name="test.inverted", version="1"),),
    )
    dataset = read_dl_dataset_anomaly(images)
    done = preprocess_dl_dataset(dataset, tmp_path / "cache", param)
    (sample,) = read_dl_samples(done, [s for s in done.samples if s.anomaly_file_name])
    assert sample.preprocessed is not None
    picture = 255 - decoded(dataset, int(sample.image_id or 0), param)[32:96, 16:80]
    assert torch.equal(sample.preprocessed, preprocess_images([picture], PARAM, CPU)[0])
    expected = np.zeros((64, 64), np.bool_)
    expected[8:48, 4:44] = True
    np.testing.assert_array_equal(sample.anomaly_ground_truth, expected)


def test_a_missing_step_is_refused_before_anything_is_written(images: Path, tmp_path: Path) -> None:
    steps = (PreprocessStep(name="test.missing", version="1"),)
    param = create_dl_preprocess_param(image_width=64, image_height=64, preprocess_steps=steps)
    with pytest.raises(StepError, match=r"test.missing 1 is needed, but it is not installed"):
        preprocess_dl_dataset(read_dl_dataset_anomaly(images), tmp_path / "cache", param)
    assert not (tmp_path / "cache").exists()


# ------------------------------------------------------------------------------------------------ used again, completed


def test_the_same_is_used_again(images: Path, tmp_path: Path) -> None:
    first = preprocess_dl_dataset(read_dl_dataset_anomaly(images), tmp_path / "cache", PARAM)
    before = files_of(tmp_path / "cache" / "samples")
    told: list[tuple[str, int, int]] = []
    again = preprocess_dl_dataset(
        read_dl_dataset_anomaly(images), tmp_path / "cache", PARAM, progress=lambda *at: told.append(at)
    )
    assert again == first
    assert files_of(tmp_path / "cache" / "samples") == before
    assert told == [("preprocess", NUM_OK + NUM_NOK, NUM_OK + NUM_NOK)]


def test_what_is_missing_or_cut_is_written_again_and_nothing_else(images: Path, tmp_path: Path) -> None:
    dataset = read_dl_dataset_anomaly(images)
    preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)
    folder = tmp_path / "cache" / "samples"
    before = files_of(folder)
    (folder / "3_dlsample.safetensors").unlink()
    (folder / "5_dlsample.safetensors").write_bytes(before["5_dlsample.safetensors"][1][:1000])
    left = folder / f".7_dlsample.safetensors.{'a' * 32}.tmp"
    left.write_bytes(b"half")
    done = preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)
    after = files_of(folder)
    assert set(after) == set(before)
    assert len(list(read_dl_samples(done, done.samples))) == NUM_OK + NUM_NOK  # each checked against its digest
    changed = {name for name in after if after[name][0] != before[name][0]}
    assert changed <= {"3_dlsample.safetensors", "5_dlsample.safetensors"}


KILLED = """
import os, signal, sys
from pathlib import Path
from inspector.anomaly.preprocess.param import create_dl_preprocess_param
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.prepare.preprocess import preprocess_dl_dataset

def progress(stage, done, total):
    if done == 4:
        os.kill(os.getpid(), signal.SIGKILL)

preprocess_dl_dataset(
    read_dl_dataset_anomaly(Path(sys.argv[1])), Path(sys.argv[2]),
    create_dl_preprocess_param(image_width=64, image_height=64), progress=progress,
)
"""


def test_a_run_that_was_killed_goes_on(images: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(images), str(cache)], check=False, env=os.environ, cwd=Path.cwd()
    )
    assert child.returncode == -signal.SIGKILL
    before = files_of(cache / "samples")
    assert len(before) == 4
    done = preprocess_dl_dataset(read_dl_dataset_anomaly(images), cache, PARAM)
    after = files_of(cache / "samples")
    assert len(after) == NUM_OK + NUM_NOK
    assert all(after[name] == before[name] for name in before)
    assert len(list(read_dl_samples(done, done.samples))) == NUM_OK + NUM_NOK


def test_a_run_that_was_killed_at_once_goes_on_too(images: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "samples").mkdir(parents=True)
    (cache / f".dl_dataset.json.{'0' * 32}.tmp").write_text("{")
    preprocess_dl_dataset(read_dl_dataset_anomaly(images), cache, PARAM)
    assert (cache / "dl_dataset.json").is_file()


# -------------------------------------------------------------------------------------------------- never the wrong one


def test_other_parameters_never_use_it_again(images: Path, tmp_path: Path) -> None:
    dataset, cache = read_dl_dataset_anomaly(images), tmp_path / "cache"
    preprocess_dl_dataset(dataset, cache, PARAM)
    before = files_of(cache)
    with pytest.raises(
        OutputError, match="cache was preprocessed with other parameters; give another directory, or let"
    ):
        preprocess_dl_dataset(dataset, cache, OTHER)
    assert files_of(cache) == before
    done = preprocess_dl_dataset(dataset, cache, OTHER, overwrite_files=True)
    (sample,) = read_dl_samples(done, done.samples[:1])
    assert sample.preprocess_digest == OTHER.digest
    assert sample.preprocessed is not None
    assert torch.equal(sample.preprocessed, preprocess_images([decoded(dataset, 0)], OTHER, CPU)[0])


@pytest.mark.parametrize("change", ["image", "mask", "another image"])
def test_other_images_or_masks_never_use_it_again(images: Path, tmp_path: Path, change: str) -> None:
    cache = tmp_path / "cache"
    old = preprocess_dl_dataset(read_dl_dataset_anomaly(images), cache, PARAM)
    if change == "image":
        (images / "good" / "3.jpg").write_bytes(encoded(ok_picture(np.random.default_rng(9), width=160, height=160)))
    elif change == "mask":
        write_mask(images, slice(40, 90))
        with pytest.raises(
            DatasetError, match="was made from another image, mask or parameters; run preprocess_dl_dat"
        ):
            list(read_dl_samples(old, old.samples))
    else:
        (images / "good" / "99.jpg").write_bytes(encoded(ok_picture(np.random.default_rng(9), width=160, height=160)))
    with pytest.raises(
        OutputError, match="cache was preprocessed from another set of images; give another directory, or let"
    ):
        preprocess_dl_dataset(read_dl_dataset_anomaly(images), cache, PARAM)


def test_an_image_that_changed_since_the_data_set_was_read(images: Path, tmp_path: Path) -> None:
    dataset = read_dl_dataset_anomaly(images)
    (images / "good" / "3.jpg").write_bytes((images / "good" / "4.jpg").read_bytes())
    with pytest.raises(DatasetError, match=r"3.jpg has changed since the data set was read; read the data set again"):
        preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)


def test_an_image_or_mask_that_is_gone(images: Path, tmp_path: Path) -> None:
    dataset = read_dl_dataset_anomaly(images)
    (images / "good" / "3.jpg").unlink()
    with pytest.raises(DatasetError, match=r"3.jpg cannot be read \(No such file or directory\)"):
        preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)
    (images / "ground_truth" / "spot" / "0.png").unlink()
    with pytest.raises(
        DatasetError, match=r"mask .*0.png cannot be read \(No such file or directory\); replace or remo"
    ):
        preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)


def test_an_image_that_does_not_fit_the_domain_is_named(images: Path, tmp_path: Path) -> None:
    domain = ImageDomain.rectangle(0, 0, 32, 32, image_width=640, image_height=32)
    param = create_dl_preprocess_param(image_width=64, image_height=64, domain_handling="keep_domain", domain=domain)
    with pytest.raises(
        DatasetError, match=r"good/0.jpg cannot be preprocessed: the domain was drawn on a picture of 640"
    ):
        preprocess_dl_dataset(read_dl_dataset_anomaly(images), tmp_path / "cache", param)


def test_samples_with_one_id_are_refused(images: Path, tmp_path: Path) -> None:
    dataset = read_dl_dataset_anomaly(images)
    twice = replace(dataset, samples=(dataset.samples[0], replace(dataset.samples[1], image_id=0)))
    with pytest.raises(DatasetError, match="two samples have the same image_id; give each a different one"):
        preprocess_dl_dataset(twice, tmp_path / "cache", PARAM)


# --------------------------------------------------------------------------------------------------- never a stranger's


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", [None, "{}", "[", '{"kind": "other"}'])
def test_a_strangers_folder_is_left_alone(
    images: Path, tmp_path: Path, content: str | None, *, overwrite: bool
) -> None:
    stranger = tmp_path / "holiday"
    stranger.mkdir()
    (stranger / "beach.jpg").write_bytes(b"sand")
    if content is not None:
        (stranger / "dl_dataset.json").write_text(content)
    before = files_of(stranger)
    with pytest.raises(
        OutputError,
        match="holiday contains files, but was not created by preprocess_dl_dataset, so it is not overwritten",
    ):
        preprocess_dl_dataset(read_dl_dataset_anomaly(images), stranger, PARAM, overwrite_files=overwrite)
    assert files_of(stranger) == before


@pytest.mark.parametrize("name", ["notes.txt", "samples/notes.txt", "samples/more/1_dlsample.safetensors"])
def test_a_file_that_somebody_laid_into_it_keeps_it_from_being_deleted(images: Path, tmp_path: Path, name: str) -> None:
    dataset, cache = read_dl_dataset_anomaly(images), tmp_path / "cache"
    preprocess_dl_dataset(dataset, cache, PARAM)
    (cache / name).parent.mkdir(exist_ok=True)
    (cache / name).write_text("mine")
    before = files_of(cache)
    with pytest.raises(
        OutputError, match=r"is not part of a preprocessed data set, so .*cache is not overwritten; move this file"
    ):
        preprocess_dl_dataset(dataset, cache, OTHER, overwrite_files=True)
    assert files_of(cache) == before


@pytest.mark.parametrize("name", ["cache", "cache/samples"])
def test_a_link_is_not_followed_to_delete(images: Path, tmp_path: Path, name: str) -> None:
    dataset, cache = read_dl_dataset_anomaly(images), tmp_path / "cache"
    preprocess_dl_dataset(dataset, cache, PARAM)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    before = files_of(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is not part of a preprocessed data set"):
        preprocess_dl_dataset(dataset, cache, OTHER, overwrite_files=True)
    assert files_of(tmp_path / "elsewhere") == before


def test_another_format_version_and_a_file_in_its_place(images: Path, tmp_path: Path) -> None:
    dataset, cache = read_dl_dataset_anomaly(images), tmp_path / "cache"
    preprocess_dl_dataset(dataset, cache, PARAM)
    document = json.loads((cache / "dl_dataset.json").read_text())
    (cache / "dl_dataset.json").write_text(json.dumps(document | {"format_version": 2}))
    with pytest.raises(OutputError, match=r"dl_dataset.json has format version 2, this program writes 1; give another"):
        preprocess_dl_dataset(dataset, cache, PARAM)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file is not a directory; give another"):
        preprocess_dl_dataset(dataset, tmp_path / "file", PARAM)
    with pytest.raises(OutputError, match="beneath cannot be written: Not a directory"):
        preprocess_dl_dataset(dataset, tmp_path / "file" / "beneath", PARAM)


# ---------------------------------------------------------------------------------------------------------- reading back


def test_a_data_set_that_was_not_preprocessed(images: Path, tmp_path: Path) -> None:
    dataset = read_dl_dataset_anomaly(images)
    with pytest.raises(DatasetError, match="the data set is not preprocessed; run preprocess_dl_dataset first"):
        next(read_dl_samples(dataset, dataset.samples))
    done = preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)
    with pytest.raises(DatasetError, match=r"good/0.jpg is not preprocessed; run preprocess_dl_dataset first"):
        next(read_dl_samples(done, dataset.samples))


def test_a_missing_a_damaged_and_a_swapped_file_are_refused(images: Path, tmp_path: Path) -> None:
    done = preprocess_dl_dataset(read_dl_dataset_anomaly(images), tmp_path / "cache", PARAM)
    folder = tmp_path / "cache" / "samples"
    first, second = (folder / f"{index}_dlsample.safetensors" for index in (0, 1))
    content = bytearray(first.read_bytes())
    content[-100] ^= 1
    first.write_bytes(content)
    with pytest.raises(
        DatasetError, match=r"0_dlsample.safetensors is damaged; delete it and run preprocess_dl_dataset"
    ):
        next(read_dl_samples(done, done.samples[:1]))
    first.write_bytes(second.read_bytes())
    with pytest.raises(DatasetError, match=r"0_dlsample.safetensors was made from another image, mask or parameters"):
        next(read_dl_samples(done, done.samples[:1]))
    first.unlink()
    with pytest.raises(
        DatasetError, match=r"0_dlsample.safetensors cannot be read \(.*\); run preprocess_dl_dataset ag"
    ):
        next(read_dl_samples(done, done.samples[:1]))


def test_a_sample_that_was_not_preprocessed_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"0_dlsample.safetensors cannot be written: its sample was not preprocessed"):
        write_sample(tmp_path / "0_dlsample.safetensors", "", DLSample(np.zeros((4, 4), np.uint8), 4, 4, 1))
    assert not list(tmp_path.iterdir())
