"""The archive in an S3 store: the transaction cut off at every step, on a real server process, and what is told when it dies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from typing_extensions import override

from inspector.archive.holdings.day import Limits
from inspector.archive.holdings.keeper import Keeper
from inspector.archive.holdings.verify import verify
from inspector.archive.storage.objects import ObjectStorage
from inspector.archive.storage.port import Listed, StorageError
from inspector.settings.places.archive import ArchiveSettings
from tests.archives import KilledError, arrival_of
from tests.s3_server import BUCKET, S3Server, running_s3_server

pytest.importorskip("moto", reason="moto, the S3 server of the tests, is not installed")

LIMITS = Limits(ok=3, uninspected=1)


class CutOff(ObjectStorage):
    """Its process is killed before the nth object is written or removed."""

    steps_left: int | None = None

    def _step(self) -> None:
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise KilledError
            self.steps_left -= 1

    @override
    def write(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            self._step()
            super().write({name: content})

    @override
    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._step()
            super().remove([name])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with running_s3_server(tmp_path) as server:
        yield server


def storage_at(server: S3Server, prefix: str) -> CutOff:
    settings = {"url": f"s3://{BUCKET}/{prefix}", "endpoint": server.endpoint, "access_key_id": "a"}
    return CutOff(ArchiveSettings.model_validate(settings | {"secret_access_key": "b"}))


def test_it_is_an_archive_like_any_other_until_its_server_dies(server: S3Server) -> None:
    storage = storage_at(server, "line/archive")
    with pytest.raises(StorageError, match=r"contains no archive .*inspector archive --create"):
        storage.check()
    storage.create()
    arriving = [arrival_of(seq, score) for seq, score in enumerate((0.1, 0.2, 0.46, 0.9, None, 0.2, 0.3))]
    keeper = Keeper(storage, LIMITS)
    for steps in range(60):
        storage.steps_left = steps
        try:
            keeper.keep("p", arriving)
        except KilledError:
            storage.steps_left = None
            keeper = Keeper(storage, LIMITS)
            keeper.recover("p")
            account = verify(storage)
            assert (account.is_whole, account.unlisted) == (True, [])
        else:
            break
    storage.steps_left = None
    account = verify(storage)
    kept = {row.seq for row in keeper.rows("L1/C1/2026-03-01")}
    ok_ids = sorted((one.row.result_id, one.row.seq) for one in arriving if one.row.anomaly_class == "ok")
    assert kept == {2, 3, 4} | {seq for _, seq in ok_ids[: LIMITS.ok]}
    assert (account.rows, account.files, account.is_whole, account.unlisted) == (len(kept), len(kept), True, [])
    keeper.remove("p", "L1/C1/2026-03-01", [one.row.result_id for one in arriving])
    assert [entry for entry in storage.entries("") if entry.is_folder and entry.name[0] != "."] == []
    assert Listed(".journal", is_folder=True, size_bytes=0) in storage.entries("")
    server.process.kill()
    server.process.wait()
    with pytest.raises(StorageError, match=f"s3://{BUCKET}/line/archive/"):
        keeper.keep("p", arriving)
