from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import (
    AuditRecord,
    BundleReference,
    CameraModels,
    Candidate,
    LiveChanges,
    ModelReference,
    ModelRelease,
    ShadowResultMessage,
    ShadowVerdict,
    audit_hash,
    camera_chain,
    decode,
    encode,
    part_share,
    result_id_of,
    shadow_headers,
)
from tests.contracts.messages import IDENTITY, SOURCE

BUNDLE = BundleReference(
    model=ModelReference(name="cookie", version="3", digest="0f" * 32), url="s3://models/cookie-3/"
)
CANARY = Candidate(bundle=BUNDLE, role="canary", percent=10.0)


def release(**changes: Any) -> ModelRelease:
    fields: dict[str, Any] = {
        "line_id": "line",
        "camera_id": "a",
        "number": 2,
        "models": CameraModels(active=BUNDLE, candidate=CANARY, changes=LiveChanges(budget_us=5)),
        "released_by": "ada@host",
        "released_at": 1,
        "audit_hash": "ab" * 32,
    }
    return ModelRelease(**fields | changes)


def record(**changes: Any) -> AuditRecord:
    fields: dict[str, Any] = {
        "chain": camera_chain("line", "a"),
        "position": 1,
        "previous_hash": "cd" * 32,
        "action": "release",
        "line_id": "line",
        "camera_id": "a",
        "number": 2,
        "by": "ada@host",
        "at": 1,
        "old": CameraModels(active=None),
        "new": CameraModels(active=BUNDLE),
    }
    return AuditRecord(**fields | changes)


def test_a_release_and_its_record_come_back_as_they_were_sent() -> None:
    assert decode(ModelRelease, encode(release())) == release()
    assert release().camera == "line/a"
    assert decode(AuditRecord, encode(record())) == record()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"number": 0}, "number"),
        ({"audit_hash": "AB" * 32}, "audit_hash"),
        ({"released_by": "a\nb"}, "released_by"),
        ({"released_by": " ada"}, "released_by"),
        ({"released_by": ""}, "released_by"),
    ],
)
def test_a_release_that_is_none_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        release(**changes)


@pytest.mark.parametrize(
    "url", ["s3://models/cookie", "https://models/cookie/", "s3://models/a b/", "s3://" + "a" * 1024 + "/"]
)
def test_a_bundle_lies_in_a_folder_of_a_store(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        BundleReference(model=BUNDLE.model, url=url)


@pytest.mark.parametrize(
    ("role", "percent"),
    [("canary", None), ("canary", 0.0), ("canary", 100.0), ("canary", float("nan")), ("shadow", 5.0)],
)
def test_a_canary_has_a_percentage_and_a_shadow_none(role: Any, percent: float | None) -> None:
    with pytest.raises(ValidationError):
        Candidate(bundle=BUNDLE, role=role, percent=percent)


@pytest.mark.parametrize(
    "changes", [{"classification_threshold": 0.0}, {"classification_threshold": 1.0}, {"budget_us": 0}]
)
def test_a_change_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LiveChanges(**changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"previous_hash": None}, "null exactly at position 0"),
        ({"position": 0}, "null exactly at position 0"),
        ({"chain": camera_chain("line", "b")}, "does not belong to the chain camera:line/b"),
        ({"chain": "process:line/a"}, "action release does not belong"),
        ({"action": "refused"}, "action refused does not belong"),
        ({"old": None}, "a change must say what was before"),
        ({"new": None}, "a change must say what was before"),
        ({"number": 3}, "must be at position 2, not 1"),
        ({"chain": "camera:line"}, "chain"),
    ],
)
def test_a_record_that_fits_no_chain_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        record(**changes)


def test_what_became_of_a_release_stands_in_the_chain_of_its_process() -> None:
    told = record(chain="process:inspectors/h1", action="refused", old=None, new=None, detail="x" * 900 + "\ud800")
    assert len(told.detail) == 500
    assert decode(AuditRecord, encode(told)) == told


def test_what_cannot_be_written_of_a_detail_is_replaced_and_what_is_no_text_refused() -> None:
    assert record(detail="\udcff" + "x" * 900).detail == "?" + "x" * 499
    assert record().detail == ""
    with pytest.raises(ValidationError, match="detail"):
        record(detail=5)


def test_a_change_that_is_the_first_of_its_camera_is_at_position_0() -> None:
    first = record(position=0, number=1, previous_hash=None)
    assert decode(AuditRecord, encode(first)) == first


BEFORE = {"anomaly_score": math.nextafter(0.5, 0), "anomaly_class": "ok"}
AT = {"anomaly_score": 0.5, "anomaly_class": "nok"}


def shadow(**changes: Any) -> ShadowResultMessage:
    verdict: dict[str, Any] = {"classification_threshold": 0.5, "segmentation_threshold": 0.25}
    fields: dict[str, Any] = {
        "result_id": result_id_of(IDENTITY, SOURCE),
        "source": SOURCE,
        **IDENTITY._asdict(),
        "role": "shadow",
        "shadow": ShadowVerdict(**verdict, **changes.pop("verdict", AT)),
        "failure": "none",
        "model": BUNDLE.model,
        "scored_at": 1,
    }
    return ShadowResultMessage(**fields | changes)


@pytest.mark.parametrize("verdict", [BEFORE, AT])
def test_what_a_model_on_trial_says_comes_back_and_is_nok_from_its_threshold_on(verdict: dict[str, Any]) -> None:
    said = shadow(verdict=verdict)
    assert decode(ShadowResultMessage, encode(said)) == said
    other = {"ok": "nok", "nok": "ok"}[verdict["anomaly_class"]]
    with pytest.raises(ValidationError, match=f"give {verdict['anomaly_class']}"):
        shadow(verdict=verdict | {"anomaly_class": other})


def test_a_model_on_trial_says_why_exactly_where_it_says_nothing() -> None:
    failed = shadow(shadow=None, failure="device")
    assert decode(ShadowResultMessage, encode(failed)) == failed
    for changes in ({"shadow": None}, {"failure": "device"}):
        with pytest.raises(ValidationError, match="failure is none exactly where shadow is not null"):
            shadow(**changes)


def test_headers_of_what_a_model_on_trial_says_name_no_verdict() -> None:
    said = shadow()
    assert shadow_headers(said) == [("role", b"shadow"), ("result_id", said.result_id.encode())]


def test_the_hash_is_that_of_the_bytes_as_written() -> None:
    value = encode(record())
    assert audit_hash(value) != audit_hash(value[:-1] + b"\0")
    assert audit_hash(value) == hashlib.sha256(value).hexdigest()


def test_the_share_of_a_part_is_the_documented_one() -> None:
    # As a client in another language computes it; these numbers never change.
    assert part_share("P-000042") == pytest.approx(PART_42)
    assert part_share("P-000043") == pytest.approx(PART_43)


PART_42, PART_43 = 0.17061192444067858, 0.7050764193541358


@given(st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), min_size=1, max_size=50))
def test_shares_lie_between_zero_and_one(parts: list[str]) -> None:
    assert all(0 <= part_share(part) < 1 for part in parts)


def test_a_canary_gets_about_its_percentage_of_parts() -> None:
    shares = [part_share(f"part-{number}") for number in range(20_000)]
    assert sum(share < 0.1 for share in shares) / 20_000 == pytest.approx(0.1, abs=0.01)
