"""A bundle is written as a whole, over another only where that is asked for, and never one that could not be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inspector.anomaly.errors import BundleError, ParameterError
from inspector.anomaly.model.bundle import (
    DETECTOR_FILE,
    read_dl_model,
    write_dl_model,
)
from inspector.anomaly.model.manifest import MANIFEST_NAME
from inspector.anomaly.model.model import AnomalyModel, ModelIdentity, apply_dl_model
from inspector.anomaly.model.param import create_initial_model
from tests.bundles import TENSOR_FILES, listing, write
from tests.models import ok_picture, tiny_model


def test_what_is_there_is_not_overwritten_unasked(copy: Path, model: AnomalyModel) -> None:
    before = listing(copy)
    with pytest.raises(BundleError, match="already exists; choose another name, or allow it to be overwritten"):
        write(copy, model)
    assert listing(copy) == before


def test_a_name_that_no_manifest_may_have_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.identity = ModelIdentity("Modell Ä 1", "1", "")
    with pytest.raises(BundleError, match=r"out cannot be written, .*: name: string should match pattern"):
        write(tmp_path / "out", model)
    assert list(tmp_path.iterdir()) == []


def test_overwriting_replaces_the_whole_folder(copy: Path, model: AnomalyModel) -> None:
    (copy / "old-report.html").write_bytes(b"old")
    write(copy, model, overwrite=True)
    assert set(listing(copy)) == {MANIFEST_NAME, *TENSOR_FILES}
    read_dl_model(copy)
    assert [path.name for path in copy.parent.iterdir()] == [copy.name], "the old one is gone, nothing is left beside"


def failing(operation: str, after: int) -> Callable[..., Any]:
    """Return the os function, but its call number `after` fails as on a full disk."""
    original: Callable[..., Any] = getattr(os, operation)
    calls = 0

    def replacement(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == after:
            raise OSError(28, "No space left on device")
        return original(*args, **kwargs)

    return replacement


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_write_that_fails_leaves_what_was_there(
    copy: Path, model: AnomalyModel, after: int, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    target = copy if is_there else copy.parent / "new"
    before = listing(copy)
    with monkeypatch.context() as patch:
        patch.setattr("inspector.anomaly.files.os.fsync", failing("fsync", after))
        with pytest.raises(BundleError, match="cannot be written: No space left on device"):
            write(target, model, overwrite=is_there)
    assert listing(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_an_interrupt_while_writing_leaves_what_was_there(
    copy: Path, model: AnomalyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(copy)

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("inspector.anomaly.files.os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(copy, model, overwrite=True)
    assert listing(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_bundle_that_stepped_aside_is_named_where_none_took_its_place(copy: Path) -> None:
    left = copy.rename(copy.with_name(f".{copy.name}.{'0' * 32}.old"))
    with pytest.raises(
        BundleError, match=rf"{copy.name} is missing, but .*{left.name} exists: .*rename it to {copy.name}"
    ):
        read_dl_model(copy)
    read_dl_model(left)


def test_a_place_that_cannot_be_written_is_named(model: AnomalyModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="file/bundle cannot be written: "):
        write(tmp_path / "file" / "bundle", model)


def test_a_file_beside_may_not_take_the_name_of_a_part(model: AnomalyModel, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"{DETECTOR_FILE} is part of the bundle"):
        write(tmp_path / "bundle", model, extra_files={DETECTOR_FILE: b""})


def test_only_the_torch_runtime_is_written(
    model: AnomalyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.network, "runtime", object())
    with pytest.raises(BundleError, match="written from a model that runs in torch"):
        write(tmp_path / "bundle", model)


# ----------------------------------------------------------------------------------------------- what need not be given


def test_time_and_golden_pictures_have_defaults(tmp_path: Path) -> None:
    model = tiny_model()
    model.golden_images = (ok_picture(np.random.default_rng(1)),)
    before = datetime.now(UTC).replace(microsecond=0)
    manifest = write_dl_model(str(tmp_path / "model"), model)
    assert before <= datetime.fromisoformat(manifest.created_at) <= datetime.now(UTC)
    again = read_dl_model(tmp_path / "model")
    np.testing.assert_array_equal(again.golden_images, model.golden_images)
    # A model that was read keeps them, so it is written again as it is.
    assert write_dl_model(tmp_path / "again", again).golden_samples == manifest.golden_samples


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2026-01-31T12:00:00+02:00", "2026-01-31T12:00:00+02:00"),
        ("2026-01-31", "2026-01-31"),
        (datetime(2026, 1, 31, 12, 0, 0, 999, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
    ],
)
def test_a_time_is_given_as_text_or_as_a_time(
    model: AnomalyModel, tmp_path: Path, given: str | datetime, written: str
) -> None:
    golden = [ok_picture(np.random.default_rng(1))]
    assert write_dl_model(tmp_path / "model", model, created_at=given, golden_images=golden).created_at == written


@pytest.mark.parametrize("given", ["", "yesterday", "31.01.2026", "2026-13-01", 1.5])
def test_what_is_no_time_is_refused_by_name(model: AnomalyModel, tmp_path: Path, given: Any) -> None:
    with pytest.raises(BundleError, match=r"created_at is .*, which is not a time in ISO 8601 such as 2026-01-31T"):
        write_dl_model(
            tmp_path / "model", model, created_at=given, golden_images=[ok_picture(np.random.default_rng(1))]
        )
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_pictures_of_its_training_is_not_written_untested(model: AnomalyModel, tmp_path: Path) -> None:
    assert model.golden_images == ()
    with pytest.raises(BundleError, match="model tiny does not keep any training picture; give a few as golden_images"):
        write_dl_model(tmp_path / "model", model)


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_no_bundle_is_never_replaced(model: AnomalyModel, tmp_path: Path, *, is_folder: bool) -> None:
    strangers = tmp_path / "photographs"
    if is_folder:
        strangers.mkdir()
        (strangers / "wedding.jpg").write_bytes(b"once")
    else:
        strangers.write_bytes(b"once")
    with pytest.raises(
        BundleError, match=r"photographs is not a model bundle \(it has no bundle\.json\), so it is not"
    ):
        write(strangers, model, overwrite=True)
    assert (strangers / "wedding.jpg" if is_folder else strangers).read_bytes() == b"once"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (create_initial_model("initial_dl_anomaly_padim"), "this padim model is not trained; use the `model` that"),
        (SimpleNamespace(model=tiny_model()), "a SimpleNamespace is not a model; use its `model`"),
        ("bundle", "a str is not a model; use what read_dl_model or train_dl_model returns"),
    ],
    ids=["untrained", "a training's result", "a path"],
)
def test_what_is_no_trained_model_is_refused_with_what_to_give(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        write_dl_model(tmp_path / "out", given)
    with pytest.raises(ParameterError, match=message):
        apply_dl_model(given, [])
