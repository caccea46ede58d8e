"""The face of all stores: folders on threads, objects on the loop, and neither without being set."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.settings.places.store import StoreSettings
from inspector.store.allowed import AllowedPlace, AllowList
from inspector.store.errors import ClaimError
from inspector.store.pictures import PictureStore
from tests.buses import wait_until
from tests.stores import s3_like


def store_of(settings: StoreSettings) -> PictureStore:
    loop = asyncio.get_running_loop()

    def post(function: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(function)

    store = PictureStore(settings, post=post)
    store.start()
    return store


async def test_both_kinds_of_places_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"from a folder")
    with s3_like() as s3:
        uri = s3.put("bucket/lines/a.png", b"from a bucket")
        prefixes = (f"file://{tmp_path}/", "s3://bucket/lines/")
        store = store_of(StoreSettings(allowed_prefixes=prefixes, endpoint=s3.endpoint))
        assert await store.read(store.find(uri), 13) == b"from a bucket"
        assert await store.read(store.find(f"file://{tmp_path}/a.png"), 13) == b"from a folder"
        with pytest.raises(ClaimError, match=r"the file .* does not exist"):
            await store.read(store.find(f"file://{tmp_path}/b.png"), 13)
        await asyncio.to_thread(store.stop)


async def test_what_is_not_set_is_not_read() -> None:
    store = store_of(StoreSettings())
    for uri in ("s3://bucket/lines/a.png", "file:///srv/frames/a.png"):
        allowed = AllowList([uri.removesuffix("a.png")]).find(uri)
        with pytest.raises(ClaimError, match="is set for") as caught:
            await store.read(allowed, 1)
        assert caught.value.reason == "image_refused"
        with pytest.raises(ClaimError, match="is empty"):
            store.find(uri)


async def test_a_surprise_on_a_thread_comes_back_as_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise ZeroDivisionError("a surprise")

    monkeypatch.setattr("inspector.store.pictures.read_file", fail)
    store = store_of(StoreSettings(allowed_prefixes=(f"file://{tmp_path}/",)))
    with pytest.raises(ClaimError, match="ZeroDivisionError: a surprise") as caught:
        await store.read(store.find(f"file://{tmp_path}/a.png"), 1)
    assert caught.value.reason == "image_unreachable"
    await asyncio.to_thread(store.stop)


async def test_reads_that_were_given_up_leave_nothing_to_be_read_before_a_fresh_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = [], threading.Event()

    def read(place: AllowedPlace, _size_bytes: int) -> bytes:
        begun.append(place.uri)
        gate.wait(60)
        return b"late"

    monkeypatch.setattr("inspector.store.pictures.read_file", read)
    store = store_of(StoreSettings(allowed_prefixes=(f"file://{tmp_path}/",), concurrency=2))
    old = [asyncio.create_task(store.read(store.find(f"file://{tmp_path}/{number}.png"), 4)) for number in range(80)]
    await wait_until(lambda: len(begun) == 2)
    for task in old:
        task.cancel()
    await asyncio.gather(*old, return_exceptions=True)
    fresh = asyncio.create_task(store.read(store.find(f"file://{tmp_path}/fresh.png"), 4))
    gate.set()
    assert await fresh == b"late"
    assert begun == [f"file://{tmp_path}/{name}.png" for name in (0, 1, "fresh")]
    await asyncio.to_thread(store.stop)


async def test_a_folder_that_is_not_there_yet_is_told_and_read_once_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    later = tmp_path / "later"
    store = store_of(StoreSettings(allowed_prefixes=(f"file://{later}/", f"file://{tmp_path}/")))
    await wait_until(lambda: f"file://{later}/ is not a folder on this machine" in caplog.text)
    assert len(caplog.messages) == 1
    later.mkdir()
    (later / "a.png").write_bytes(b"late")
    assert await store.read(store.find(f"file://{later}/a.png"), 4) == b"late"
    await asyncio.to_thread(store.stop)
