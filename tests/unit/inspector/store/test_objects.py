"""Objects of an S3 store over real HTTP on the loopback: what is asked, what is read, what is refused and never sent."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Iterator
from typing import Any

import pytest

from inspector.errors import MissingExtraError
from inspector.settings.places.store import StoreSettings
from inspector.store.allowed import AllowList
from inspector.store.errors import ClaimError
from inspector.store.objects import ATTEMPTS, ObjectStore
from tests.stores import Asked, S3Like, s3_like

DATA = bytes(range(256)) * 40
PREFIX = "s3://bucket/lines/"


@pytest.fixture
def s3() -> Iterator[S3Like]:
    with s3_like() as store:
        store.put("bucket/lines/a.png", DATA)
        yield store


def settings(s3: S3Like, **values: Any) -> StoreSettings:
    return StoreSettings(**{"allowed_prefixes": (PREFIX,), "endpoint": s3.endpoint} | values)


async def read(s3: S3Like, name: str = "a.png", size_bytes: int = len(DATA), **values: Any) -> bytes:
    allowed = AllowList([PREFIX]).find(PREFIX + name)
    return await ObjectStore(settings(s3, **values)).read(allowed, size_bytes)


async def test_an_object_is_read_by_one_request_for_its_bytes(s3: S3Like) -> None:
    assert await read(s3) == DATA
    assert s3.asked == [Asked("GET", "/bucket/lines/a.png", f"bytes=0-{len(DATA) - 1}", is_signed=False)]


async def test_with_a_key_requests_are_signed_by_obstore(s3: S3Like) -> None:
    pytest.importorskip("obstore")
    s3.put("bucket/lines/x=1+2,3.png", DATA)
    s3.objects["/bucket/lines/x%3D1%2B2%2C3.png"] = DATA  # as a signed URL escapes it
    assert await read(s3, "x=1+2,3.png", access_key_id="key", secret_access_key="secret") == DATA
    (asked,) = s3.asked
    assert asked.is_signed


def test_without_obstore_a_key_is_refused_with_the_extras_name(s3: S3Like, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.partition(".")[0] == "obstore":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    ObjectStore(settings(s3))
    with pytest.raises(MissingExtraError, match=r"obstore is not installed.*\.\[store\]"):
        ObjectStore(settings(s3, access_key_id="key", secret_access_key="secret"))


@pytest.mark.parametrize("size_bytes", [1, len(DATA) - 1, len(DATA) + 1, 10 * len(DATA)])
async def test_an_object_of_another_size_is_a_mismatch_and_no_more_than_stated_is_sent(
    s3: S3Like, size_bytes: int
) -> None:
    with pytest.raises(ClaimError, match=f"has '{len(DATA)}' bytes, but the frame says {size_bytes}") as caught:
        await read(s3, size_bytes=size_bytes)
    assert caught.value.reason == "image_mismatch"
    assert s3.sent_bytes <= min(size_bytes, len(DATA))


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("cut", "image_unreachable", "gave no complete answer"),
        ("busy", "image_unreachable", "status 503"),
        ("no http", "image_unreachable", "answer is not HTTP"),
        ("endless", "image_mismatch", "'no stated number of' bytes"),
    ],
)
async def test_a_store_that_misbehaves_is_named(s3: S3Like, fault: str, reason: str, words: str) -> None:
    s3.misbehave["/bucket/lines/a.png"] = fault
    with pytest.raises(ClaimError, match=words) as caught:
        await read(s3)
    assert caught.value.reason == reason
    assert len(s3.asked) == (ATTEMPTS if reason == "image_unreachable" else 1)


async def test_what_comes_behind_the_stated_bytes_is_not_read(s3: S3Like) -> None:
    s3.misbehave["/bucket/lines/a.png"] = "longer"
    assert await read(s3) == DATA


async def test_a_redirect_is_not_followed_wherever_it_leads(s3: S3Like) -> None:
    with s3_like() as elsewhere:
        elsewhere.put("bucket/lines/a.png", DATA)
        s3.misbehave["/bucket/lines/a.png"] = "redirect"
        s3.redirect_to = elsewhere.endpoint
        cases: list[dict[str, Any]] = [{}, {"access_key_id": "key", "secret_access_key": "secret"}]
        for values in cases:
            with pytest.raises(ClaimError, match="redirects are not followed") as caught:
                await read(s3, **values)
            assert caught.value.reason == "image_refused"
        assert elsewhere.asked == []


async def test_no_object_is_missing(s3: S3Like) -> None:
    with pytest.raises(ClaimError, match="no object") as caught:
        await read(s3, "b.png")
    assert caught.value.reason == "image_missing"
    assert len(s3.asked) == 1


async def test_no_server_is_unreachable(s3: S3Like) -> None:
    with s3_like() as gone:
        pass
    with pytest.raises(ClaimError, match="gave no complete answer") as caught:
        await read(gone)
    assert caught.value.reason == "image_unreachable"


@pytest.mark.parametrize("fault", ["hang", "drip"])
async def test_a_fetch_may_be_cancelled_at_any_time(s3: S3Like, fault: str) -> None:
    s3.misbehave["/bucket/lines/a.png"] = fault
    task = asyncio.create_task(read(s3))
    while not s3.asked:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_host_is_never_asked_even_if_the_signer_says_so(
    s3: S3Like, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_like() as elsewhere:
        monkeypatch.setattr(
            "inspector.store.objects._unsigned", lambda _: lambda bucket, key: f"{elsewhere.endpoint}/{bucket}/{key}"
        )
        with pytest.raises(ClaimError, match=r"not store\.endpoint") as caught:
            await read(s3)
        assert caught.value.reason == "image_refused"
        assert elsewhere.asked == s3.asked == []
