from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector.bundles.cache import LEFT_BEHIND_S, BundleCache, digests_of
from inspector.errors import ConfigError
from schemas import BundleReference, CameraModels, Candidate, ModelReference, ModelRelease

MOST = 1000


def reference(digest: str) -> BundleReference:
    return BundleReference(model=ModelReference(name="m", version="1", digest=digest), url=f"file:///srv/{digest}/")


def release(camera: str, active: str, *, previous: str | None = None, candidate: str | None = None) -> ModelRelease:
    tried = None if candidate is None else Candidate(bundle=reference(candidate), role="shadow")
    models = CameraModels(
        active=reference(active), previous=None if previous is None else reference(previous), candidate=tried
    )
    return ModelRelease(
        line_id="line",
        camera_id=camera,
        number=1,
        models=models,
        released_by="ada",
        released_at=1,
        audit_hash="ab" * 32,
    )


def fill(cache: BundleCache, folder: Path, digest: str, *, used_at: int, size: int = 400) -> None:
    def download(into: Path) -> None:
        (into / "file").write_bytes(bytes(size))

    cache.fetch(digest, download)
    os.utime(folder / "bundles" / digest, (used_at, used_at))


A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


def test_what_was_used_longest_ago_goes_first_and_what_serves_never(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path, MOST)
    for age, digest in enumerate((A, B, C, D)):
        fill(cache, tmp_path, digest, used_at=1000 + age)
    cache.keep(release("x", A))
    assert cache.evict({C}) == [B, D], "the serving one is the oldest, and stays"
    assert cache.evict({C}) == []


def test_what_serves_stays_even_beyond_the_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = BundleCache(tmp_path, 100)
    for age, digest in enumerate((A, B, C)):
        fill(cache, tmp_path, digest, used_at=1000 + age)
    cache.keep(release("x", A, previous=B, candidate=C))
    assert digests_of(release("x", A, previous=B, candidate=C)) == {A, B, C}
    assert cache.evict(()) == []
    assert "more than releases.cache_bytes (100)" in caplog.text
    cache.keep(release("x", A))
    assert cache.evict(()) == [B, C]


def test_finding_a_bundle_counts_as_using_it(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path, MOST)
    for age, digest in enumerate((A, B, C)):
        fill(cache, tmp_path, digest, used_at=1000 + age)
    assert cache.find(A) == tmp_path / "bundles" / A
    assert cache.evict(()) == [B]
    assert cache.find(B) is None


def test_the_last_known_good_of_each_camera_is_kept_and_what_is_spoilt_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BundleCache(tmp_path, MOST)
    for camera in ("x", "y"):
        cache.keep(release(camera, A))
    cache.keep(release("x", B))
    (tmp_path / "serving" / "line" / "z.release").write_bytes(b"cut")
    (tmp_path / "serving" / "line" / "w.release").write_bytes(
        (tmp_path / "serving" / "line" / "x.release").read_bytes()
    )
    kept = BundleCache(tmp_path, MOST).kept()
    assert {camera: found.models.active for camera, found in kept.items()} == {
        "line/x": reference(B),
        "line/y": reference(A),
    }
    assert "z.release cannot be used" in caplog.text


def test_what_a_killed_process_left_half_fetched_goes_after_a_while(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path, MOST)
    old, new = tmp_path / "bundles" / f".{A}.old", tmp_path / "bundles" / f".{A}.new"
    for folder in (old, new):
        folder.mkdir()
    then = new.stat().st_mtime - LEFT_BEHIND_S - 1
    os.utime(old, (then, then))
    cache.evict(())
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"releases\.cache: .*/file cannot be written to"):
        BundleCache(tmp_path / "file", MOST)
