"""Names of files, from the odd ones that work to those that are refused before anything is decoded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets import refusal
from tests.pictures import picture
from trainer.dataset.manifest import read_dl_dataset_manifest
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.wording import is_printable

BYTES = st.binary(min_size=1, max_size=30).filter(lambda name: not {0, 47} & set(name) and not name.startswith(b"."))


def odd(folder: Path, name: bytes) -> Path:
    """A picture under a name that need not be text; where a file system takes such a name."""
    path = folder / os.fsdecode(name)
    plain = picture(folder / "plain.png")
    try:
        plain.rename(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    return path


@pytest.mark.parametrize(
    ("name", "shown"), [(b"b\xe4r.png", r"b\xe4r.png"), (b"a\nb.png", r"a\nb.png"), (b"\x1b[2J.png", r"\x1b[2J.png")]
)
def test_names_that_no_report_could_show_are_refused_escaped(tmp_path: Path, name: bytes, shown: str) -> None:
    for i in range(3):
        picture(tmp_path / f"set/good/{i}.png")
    odd(tmp_path / "set/good", name)
    message = refusal(tmp_path / "set")
    assert message.startswith(
        f"1 name is not UTF-8 or holds control characters, so no report can show them: good/{shown};"
    )
    assert "rename these files" in message


def test_folders_and_manifests_too(tmp_path: Path) -> None:
    picture(tmp_path / "a\tb/good/1.png")
    assert r"a\tb; rename" in refusal(tmp_path / "a\tb")
    manifest = tmp_path / "set.csv"
    picture(tmp_path / "x\ny.png")
    manifest.write_text('path,label\n"x\ny.png",ok\n')
    with pytest.raises(DatasetError, match=r"x\\ny\.png; rename"):
        read_dl_dataset_manifest(manifest)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    BYTES
    | st.text(min_size=1, max_size=40).map(
        lambda text: text.encode(errors="ignore").translate(None, b"/\0").lstrip(b".") or b"x"
    )
)
def test_any_name_is_read_as_it_is_or_refused_as_a_whole(tmp_path_factory: pytest.TempPathFactory, name: bytes) -> None:
    folder = tmp_path_factory.mktemp("set")
    path = odd(folder, name + b".png")
    try:
        (sample,) = read_dl_dataset_anomaly(folder, all_ok=True).samples
    except DatasetError as error:
        str(error).encode()
        assert not is_printable(path.name)
    else:
        assert sample.image_file_name == path.name
        assert is_printable(path.name)
