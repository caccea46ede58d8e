"""No altered byte changes a verdict: a bundle is refused, or says what it said."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.errors import BundleError
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import DIGEST_KEY, MANIFEST_NAME, document_digest, read_manifest
from tests.bundles import TENSOR_FILES


@pytest.fixture(scope="module")
def spoilt(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose files are replaced, over and over."""
    return Path(shutil.copytree(written, tmp_path_factory.mktemp("spoilt") / "bundle"))


def harmless(folder: Path, content: bytes, written: Path) -> bool:
    """Whether a manifest is refused, or says the same as the one that was written."""
    (folder / MANIFEST_NAME).write_bytes(content)
    try:
        manifest, _ = read_manifest(folder)
    except BundleError:
        return True
    return manifest == read_manifest(written)[0]


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x20, 0x80])
def test_no_flipped_byte_of_the_manifest_says_anything_else(written: Path, spoilt: Path, flip: int) -> None:
    content = (written / MANIFEST_NAME).read_bytes()
    for at in range(len(content)):
        altered = content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
        assert harmless(spoilt, altered, written), f"byte {at}"


@given(data=st.data())
def test_no_damage_of_the_manifest_says_anything_else(written: Path, spoilt: Path, data: st.DataObject) -> None:
    content = bytearray((written / MANIFEST_NAME).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(start + 8, len(content))))
        content[start:stop] = data.draw(st.binary(max_size=8) | st.sampled_from([b" ", b"0", b"9", b"e9", b'"', b","]))
    assert harmless(spoilt, bytes(content), written)


def test_the_threshold_that_was_changed_by_hand_is_refused_by_name(copy: Path) -> None:
    path = copy / MANIFEST_NAME
    document = json.loads(path.read_bytes())
    document["thresholds"]["classification"] = 0.7
    path.write_text(json.dumps(document))
    with pytest.raises(
        BundleError, match=r"bundle.json was changed: the SHA-256 of its contents is [0-9a-f]{64}, but it says"
    ):
        read_dl_model(copy)


def test_spaces_and_the_order_of_keys_are_of_no_account(copy: Path, written: Path) -> None:
    path = copy / MANIFEST_NAME
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(dict(sorted(document.items())), indent=7))
    assert read_manifest(copy)[0] == read_manifest(written)[0]
    assert read_manifest(copy)[1] != read_manifest(written)[1]


def test_the_digest_is_one_that_anybody_can_compute(written: Path) -> None:
    """As the documentation says it: keys sorted, no spaces, ASCII."""
    document = json.loads((written / MANIFEST_NAME).read_bytes())
    named = document.pop(DIGEST_KEY)
    assert named == hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert document_digest({"b": 1, "a": "ä"}) == hashlib.sha256(b'{"a":"\\u00e4","b":1}').hexdigest()


@pytest.mark.parametrize("value", [None, "", 7, "0" * 64, [], {}])
def test_a_digest_that_is_none_is_refused(copy: Path, value: object) -> None:
    path = copy / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_bytes()), DIGEST_KEY: value}))
    with pytest.raises(BundleError, match=r"bundle\.json (was changed|has no manifest_sha256)"):
        read_manifest(copy)


def test_a_bundle_that_is_asked_for_by_its_digest_is_that_one(copy: Path, written: Path) -> None:
    _, digest = read_manifest(written)
    assert read_dl_model(copy, digest=digest).digest == digest
    with pytest.raises(BundleError, match=f"bundle.json is not the requested one: its SHA-256 is {digest}, not 0000"):
        read_dl_model(copy, digest="0" * 64)


def test_one_who_may_write_the_digest_too_is_found_out_by_the_one_that_was_asked_for(copy: Path) -> None:
    _, digest = read_manifest(copy)
    document: dict[str, Any] = json.loads((copy / MANIFEST_NAME).read_bytes())
    document["thresholds"]["classification"] = 0.7
    (copy / MANIFEST_NAME).write_text(json.dumps({**document, DIGEST_KEY: document_digest(document)}))
    assert read_manifest(copy)[0].thresholds is not None, "it fits together"
    with pytest.raises(BundleError, match="not the requested one"):
        read_dl_model(copy, digest=digest)


@pytest.mark.parametrize("name", TENSOR_FILES)
def test_one_flipped_byte_of_any_tensor_is_refused(copy: Path, name: str, reads_no_weights: Callable[[], None]) -> None:
    content = (copy / name).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8:start])
    reads_no_weights()
    for tensor, entry in tensors.items():
        if tensor == "__metadata__":
            continue
        first, behind = entry["data_offsets"]
        altered = bytearray(content)
        altered[start + (first + behind) // 2] ^= 0x40
        (copy / name).write_bytes(altered)
        with pytest.raises(BundleError, match=f"{name} was changed"):
            read_dl_model(copy)


@pytest.fixture
def reads_no_weights(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and bytes that are no longer those of the manifest must never become tensors."""

    def refuse(_content: bytes) -> None:
        pytest.fail("altered bytes were read as tensors")

    return lambda: monkeypatch.setattr("inspector.anomaly.model.bundle.safetensors.load", refuse)
