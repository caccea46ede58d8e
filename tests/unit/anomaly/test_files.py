"""A file or folder is replaced as one step: whoever looks finds the old one or the new one, and whoever is killed leaves either."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inspector.anomaly import files as files_module
from inspector.anomaly.files import set_aside, try_folder, unfinished_files, write_file, write_folder


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(params=["exchanged", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "step by step":
        monkeypatch.setattr(files_module, "_exchange", lambda _first, _second: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "made" / "here"
    write_folder(path, {"a": b"1", "b": b"2"})
    write_folder(path, {"b": b"3"})
    assert read(path) == {"b": b"3"}
    assert list(path.parent.iterdir()) == [path]


def test_no_moment_is_without_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, {"file": b"0"})
    missing, done = 0, threading.Event()

    def look() -> None:
        nonlocal missing
        while not done.is_set():
            missing += not (path / "file").exists()

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(300):
        write_folder(path, {"file": b"%d" % number})
    done.set()
    looking.join()
    assert missing == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from inspector.anomaly import files

def kill(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

step, place = sys.argv[1], Path(sys.argv[2])
if step == "shutil.rmtree":
    files.shutil.rmtree = kill
else:
    files.os.fsync = kill
files.write_file(place, b"new" * 100) if place.is_file() else files.write_folder(place, {"file": b"new"})
"""


def kill_at(step: str, place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, step, str(place)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_whoever_is_killed_in_the_middle_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, {"file": b"old", "other": b"old"})
    kill_at("os.fsync", path)
    assert read(path) == {"file": b"old", "other": b"old"}


def test_whoever_is_killed_later_leaves_the_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, {"file": b"old", "other": b"old"})
    kill_at("shutil.rmtree", path)  # the next step once the new folder is in place
    assert read(path) == {"file": b"new"}


def test_whoever_is_killed_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model [v1].json"
    path.write_bytes(b"old")
    kill_at("os.fsync", path)
    assert path.read_bytes() == b"old"
    (left,) = unfinished_files(tmp_path)
    assert unfinished_files(tmp_path, path.name) == [left]
    assert unfinished_files(tmp_path, "model v.json") == []
    write_file(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert set(tmp_path.iterdir()) == {path, left}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_that_a_link_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")
    for content in (b"old", b"new"):
        write_file(tmp_path / "link", content)
        assert (tmp_path / "there" / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file"]


def test_only_what_a_writer_left_is_called_unfinished(tmp_path: Path) -> None:
    unique = "0123456789abcdef" * 2
    for name in (f".a.{unique}.tmp", f".b.{unique}.tmp", f"a.{unique}.tmp", ".a.mine.tmp", f".a.{unique}", "a.tmp"):
        (tmp_path / name).touch()
    assert [path.name for path in unfinished_files(tmp_path)] == [f".a.{unique}.tmp", f".b.{unique}.tmp"]
    assert [path.name for path in unfinished_files(tmp_path, "a")] == [f".a.{unique}.tmp"]


@pytest.mark.parametrize("after", [1, 2])
def test_a_rename_that_fails_leaves_what_was_there(tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    write_folder(path, {"file": b"old"})
    rename, calls = Path.rename, 0

    def failing_rename(source: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == after:
            raise PermissionError(13, "Permission denied")
        return rename(source, target)

    monkeypatch.setattr(files_module, "_exchange", lambda _first, _second: False)
    monkeypatch.setattr(Path, "rename", failing_rename)
    with pytest.raises(PermissionError):
        write_folder(path, {"file": b"new"})
    assert read(path) == {"file": b"old"}
    assert list(tmp_path.iterdir()) == [path]


class Answering:
    """Stands for the C library: every call fails with one error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def renameat2(self, *_arguments: object) -> int:
        ctypes.set_errno(self._code)
        return -1


@pytest.mark.parametrize(("code", "is_refused"), [(errno.EINVAL, False), (errno.ENOSYS, False), (errno.EACCES, True)])
def test_a_file_system_that_cannot_exchange_is_told_from_one_that_refuses(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch, *, is_refused: bool
) -> None:
    path = tmp_path / "folder"
    write_folder(path, {"file": b"old"})
    monkeypatch.setattr(ctypes, "CDLL", lambda *_arguments, **_options: Answering(code))
    if is_refused:
        with pytest.raises(OSError, match=os.strerror(code)):
            write_folder(path, {"file": b"new"})
        assert read(path) == {"file": b"old"}
    else:
        write_folder(path, {"file": b"new"})
        assert read(path) == {"file": b"new"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_c_library_without_the_call_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    write_folder(path, {"file": b"old"})
    monkeypatch.setattr(ctypes, "CDLL", lambda *_arguments, **_options: object())
    write_folder(path, {"file": b"new"})
    assert read(path) == {"file": b"new"}


def test_the_last_folder_that_stepped_aside_is_found(tmp_path: Path) -> None:
    path = tmp_path / "model [v1]"
    assert set_aside(path) is None
    for number, name in enumerate((".model [v1].b.old", ".model [v1].a.old", ".model v.c.old")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (number, number))
    assert set_aside(path) == tmp_path / ".model [v1].a.old"


@pytest.mark.usefixtures("way")
def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "models" / "real", tmp_path / "link"
    write_folder(real, {"file": b"old"})
    link.symlink_to("models/real")
    write_folder(link, {"file": b"new"})
    assert read(real) == {"file": b"new"}
    assert link.is_symlink()
    assert list(tmp_path.rglob(".*")) == []


def test_a_link_to_nothing_yet_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("made/later")
    write_folder(link, {"file": b"new"})
    assert read(tmp_path / "made" / "later") == {"file": b"new"}
    (tmp_path / "made" / "later").rename(tmp_path / "made" / ".later.a.old")
    assert set_aside(link) == tmp_path / "made" / ".later.a.old"


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="link"):
        write_folder(tmp_path / "link", {"file": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_what_killed_writers_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "model [v1]"
    unique = "0123456789abcdef" * 2
    old = [
        ".model [v1]." + unique,
        ".model v." + unique,
        f".model [v1].{unique}.old",
        ".model [v1].mine",
        "model [v1].b",
    ]
    young = ".model [v1]." + unique[::-1]
    for name in (*old, young):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"half")
    for name in old:
        os.utime(tmp_path / name, (1e9, 1e9))
    write_folder(path, {"file": b"new"})
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, young, *old[1:]}


def test_a_place_is_tried_and_nothing_left_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    try_folder(tmp_path / "a" / "b" / "model")
    for place in (
        tmp_path / "file" / "model",
        Path("/proc/nope/model"),
        tmp_path / ("m" * 255),
        tmp_path / ("p" * 256) / "m",
    ):
        with pytest.raises(OSError, match=r"Errno|No such"):
            try_folder(place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_in_the_place_of_a_folder_is_refused_and_nothing_left(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"mine")
    with pytest.raises(NotADirectoryError, match="there is a file of this name"):
        write_folder(tmp_path / "here", {"a": b"1"})
    assert read(tmp_path) == {"here": b"mine"}


def test_a_file_keeps_its_mode_and_its_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o600)
    synced: list[Path] = []
    monkeypatch.setattr(files_module, "sync_folder", synced.append)
    write_file(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert synced == [tmp_path]
