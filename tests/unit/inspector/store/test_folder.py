"""Files below a folder: read whole and exactly, never over a link, never more than was said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector.store.allowed import AllowedPlace, AllowList
from inspector.store.errors import ClaimError
from inspector.store.folder import read_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "one.png").write_bytes(b"0123456789")
    (tmp_path / "secret.png").write_bytes(b"0123456789")
    return folder


def place(folder: Path, name: str) -> AllowedPlace:
    return AllowList([f"file://{folder}/"]).find(f"file://{folder}/{name}")


def refusal(folder: Path, name: str, size_bytes: int = 10) -> tuple[str, str]:
    with pytest.raises(ClaimError) as caught:
        read_file(place(folder, name), size_bytes)
    return caught.value.reason, str(caught.value)


def test_a_file_of_the_stated_size_is_read(folder: Path) -> None:
    assert read_file(place(folder, "a/one.png"), 10) == b"0123456789"


def test_the_prefix_itself_may_be_reached_over_a_link(folder: Path) -> None:
    (folder.parent / "linked").symlink_to(folder)
    assert read_file(place(folder.parent / "linked", "a/one.png"), 10) == b"0123456789"


@pytest.mark.parametrize("size_bytes", [9, 11])
def test_another_size_is_a_mismatch(folder: Path, size_bytes: int) -> None:
    reason, text = refusal(folder, "a/one.png", size_bytes)
    assert reason == "image_mismatch"
    assert f"10 bytes, but the frame says {size_bytes}" in text


def test_a_link_is_not_followed_wherever_it_stands(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "inside.png").symlink_to(folder / "a" / "one.png")
    (folder / "up").symlink_to(folder.parent)
    for name in ("link.png", "inside.png", "up/secret.png"):
        reason, text = refusal(folder, name)
        assert reason == "image_refused"
        assert "links are not followed" in text


def test_what_is_no_plain_file_is_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    assert refusal(folder, "pipe.png") == ("image_refused", f"'file://{folder}/pipe.png' is not a regular file")
    assert refusal(folder, "a")[0] == "image_refused"
    assert refusal(folder, "a/one.png/x.png")[0] == "image_refused"


def test_what_is_not_there_is_missing(folder: Path) -> None:
    assert refusal(folder, "a/two.png")[0] == "image_missing"
    assert refusal(folder, "b/one.png")[0] == "image_missing"


def test_what_may_not_be_read_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("inspector.store.folder.os.open", fail)
    assert refusal(folder, "a/one.png") == (
        "image_unreachable", f"'file://{folder}/a/one.png' cannot be read: Permission denied"
    )  # fmt: skip


def test_no_descriptor_is_left_open(folder: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        read_file(place(folder, "a/one.png"), 10)
        refusal(folder, "a/two.png")
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_prefix_whose_folder_is_not_mounted_is_unreachable_and_no_missing_file(tmp_path: Path) -> None:
    reason, text = refusal(tmp_path / "gone", "one.png")
    assert (reason, text) == ("image_unreachable", f"the folder {tmp_path / 'gone'} does not exist; is it mounted?")
