"""Admission: every record becomes a frame; what is wrong with it is found before anything is allocated."""

from __future__ import annotations

from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly import types as anomaly_types
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.preprocess.image import RawLayout
from inspector.anomaly.preprocess.param import DLPreprocessParam, PreprocessStep
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import DLSample, Thresholds
from inspector.bus.ports import Fault
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget
from inspector.inflight.frame import Frame
from inspector.inflight.lease import Lease
from inspector.inflight.route import Route
from inspector.settings.settings import LimitSettings
from inspector.stages import admit
from inspector.stages.admit import Admission
from inspector.store.allowed import AllowList
from schemas import (
    MAX_BUDGET_US,
    MAX_CAPTURED_AT,
    MAX_INTEGER,
    ImageEncoding,
    ModelReference,
    PixelFormat,
    RawFormat,
    RecordSource,
    TraceContext,
    trace_from_headers,
)
from tests.encoded import scan_bomb
from tests.fakes import FakeClock, FakeModel, FakeRecord
from tests.frames import camera_frame, png, record_of
from tests.picture_files import flagged, noise
from tests.stores import claim

LIMITS = LimitSettings(max_frame_bytes=50_000, max_pixels=10_000, max_clock_skew_ms=500)
THRESHOLDS = Thresholds(classification=0.5, segmentation=0.5)
REFERENCE = ModelReference(name="m", version="1", digest="0" * 64)


class AnyPicture(FakeModel):
    """A model that was trained with pictures of any size."""

    def check_geometry(self, sample: DLSample) -> None:
        assert sample.channels in (1, 3)


ROUTE = Route("line/a", AnyPicture(THRESHOLDS), REFERENCE, None, 2_000_000)
STRICT = Route("line/strict", FakeModel(THRESHOLDS), REFERENCE, None, 2_000_000)


class Door:
    def __init__(
        self,
        *,
        largest_decoding_bytes: int = 1 << 20,
        default_budget_us: int = 1_000_000,
        limits: LimitSettings = LIMITS,
    ) -> None:
        self.clock = FakeClock()
        self.budget = Budget(1 << 30)
        self.seen: list[tuple[str, DLSample]] = []
        self.admission = Admission(
            limits,
            default_budget_us=default_budget_us,
            largest_decoding_bytes=largest_decoding_bytes,
            find_route=lambda line, camera, _part: (
                {"a": ROUTE, "strict": STRICT}.get(camera) if line == "line" else None
            ),
            find_place=AllowList(["s3://bucket/lines/"]).find,
            budget=self.budget,
            clock=self.clock,
            join_trace=lambda headers: (trace_from_headers(headers), "b7ad6b7169203331"),
            saw=lambda camera, picture: self.seen.append((camera, picture)),
        )

    def admit(self, key: bytes | None, value: bytes | None, headers: Any = (), *, fault: Fault | None = None) -> Frame:
        record = FakeRecord("frames", 5, 7, key, value, headers, fault)
        return self.admission.admit(record, Lease(("frames", 5), 1, cap=10))

    def admit_frame(self, camera_id: str = "a", **fields: Any) -> Frame:
        captured_at = fields.pop("captured_at", self.clock.wall_us())
        return self.admit(*record_of(camera_frame(camera_id, 1, captured_at, **fields)))


def test_the_map_of_a_model_with_tiles_is_as_large_as_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    whole = door.admit_frame()
    assert whole.map_bytes == 64 * 64 * 4
    tile = TileParam(width=64, height=64)
    tiled = DLPreprocessParam(image_width=64, image_height=64, tile=tile)
    monkeypatch.setattr(FakeModel, "preprocess_param", tiled)
    frame = door.admit_frame(image=png(width=96, height=80))
    assert frame.map_bytes == 96 * 80 * 4
    assert frame.decoding_bytes == 2 * 96 * 80 + frame.map_bytes


def test_a_picture_that_its_model_turns_upright_is_admitted_as_it_will_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    upright = DLPreprocessParam(image_width=64, image_height=64, apply_exif=True)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(FakeModel, "preprocess_param", upright)
    monkeypatch.setattr(
        AnyPicture, "check_geometry", lambda _, sample: seen.append((sample.original_width, sample.original_height))
    )
    for orientation in (1, 3, 6):
        image = flagged(noise(48, 96, 1), "PNG", orientation)
        assert Door().admit_frame(image=image).refusal is None
    assert seen == [(96, 48), (96, 48), (48, 96)]


def test_a_record_with_a_fault_is_answered_under_its_name_and_its_picture_is_not_looked_at() -> None:
    door = Door()
    key, value, headers = record_of(camera_frame("a", 1, door.clock.wall_us()))
    frame = door.admit(key, value, headers, fault=Fault("corrupt", "the checksum differs"))
    assert frame.refusal == ("undecodable", "corrupt", "the checksum differs")
    assert (frame.camera, frame.identity.seq) == ("line/a", 1)
    frame = door.admit(key, b"garbage", headers, fault=Fault("malformed", "a name"))
    assert frame.refusal == ("undecodable", "malformed", "a name")
    assert (frame.camera, frame.identity.seq) == ("line/a", 1)


def test_a_sound_frame_is_routed_and_its_bytes_are_counted() -> None:
    door = Door()
    frame = door.admit_frame()
    assert frame.refusal is None
    assert (frame.camera, frame.route, frame.model) == ("line/a", ROUTE, ROUTE.model)
    assert frame.message is not None
    assert frame.value is not None
    assert door.budget.used_bytes == FRAME_OVERHEAD_BYTES + len(frame.value) + len(frame.message.image)
    assert frame.decoding_bytes >= 64 * 64 + 4 * 64 * 64


def test_a_frame_keeps_what_its_record_says_and_where_and_when_it_was_read() -> None:
    door = Door()
    trace = TraceContext("0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7", is_sampled=True)
    key, value, headers = record_of(camera_frame("a", 1, door.clock.wall_us(), is_simulated=True))
    frame = door.admit(key, value, [*headers, *trace.headers()])
    assert (frame.key, frame.value, frame.source) == (
        b"line/a",
        value,
        RecordSource(topic="frames", partition=5, offset=7),
    )
    assert (frame.is_simulated, frame.entered_s) == (True, door.clock.monotonic_s())
    assert (frame.trace, frame.parent_span_id) == (trace, "b7ad6b7169203331")
    assert frame.lease.partition == ("frames", 5)
    assert door.budget.used_by(("frames", 5)) == door.budget.used_bytes == frame.reservation.size_bytes
    assert not Door().admit_frame().is_simulated
    unread = Door().admit(b"k", None)
    assert (unread.value, unread.is_simulated, unread.reservation.size_bytes) == (b"", False, FRAME_OVERHEAD_BYTES)
    assert unread.refusal == ("undecodable", "empty", "the record has no value")


def test_what_its_model_takes_of_a_camera_is_told_and_nothing_else() -> None:
    door = Door()
    colour = cv2.imencode(".png", np.zeros((40, 50, 3), np.uint8))[1].tobytes()
    door.admit_frame(image=colour)
    door.admit_frame(image=png(width=30, height=20))
    door.admit_frame("strict", image=png(width=96))
    unknown = door.admit_frame("x").refusal
    assert unknown == ("no_model", "unknown_camera", "no model is configured for camera line/x")
    assert [
        (camera, picture.original_width, picture.original_height, picture.channels, picture.image.size)
        for camera, picture in door.seen
    ] == [("line/a", 50, 40, 3, 0), ("line/a", 30, 20, 1, 0)]


@pytest.mark.parametrize("headers", [[("line_id", b"line")], [("camera_id", b"a")]])
def test_half_a_name_is_none(headers: Any) -> None:
    frame = Door().admit(None, b"garbage", headers)
    assert (frame.camera, frame.route) == ("frames/5", None)


@pytest.mark.parametrize(("num_bytes", "reason"), [(3 * 4000, None), (3 * 4001, "too_large")])
def test_a_raw_picture_may_have_as_many_bytes_as_any_and_no_more(num_bytes: int, reason: str | None) -> None:
    door = Door(limits=LimitSettings(max_frame_bytes=12_000, max_pixels=10_000))
    raw = {"width": num_bytes // 3, "height": 1, "pixel_format": "rgb8"}
    frame = door.admit_frame(image=bytes(num_bytes), encoding="raw", raw=raw, image_digest=None)
    assert (frame.refusal and frame.refusal.reason) == reason


def test_a_picture_that_takes_exactly_what_is_left_for_decoding_is_admitted() -> None:
    needed = Door().admit_frame().decoding_bytes
    assert Door(largest_decoding_bytes=needed).admit_frame().refusal is None
    refused = Door(largest_decoding_bytes=needed - 1).admit_frame().refusal
    assert refused is not None
    assert (refused.status, refused.reason) == ("undecodable", "too_large")


def test_only_an_admitted_frame_has_a_picture_to_look_at() -> None:
    door = Door()
    with pytest.raises(ValueError, match="has no picture to look at"):
        door.admission.check_picture(door.admit(b"k", b"garbage"))
    with pytest.raises(ValueError, match="has no picture to look at"):
        door.admission.check_picture(door.admit_frame("x"))


@pytest.mark.parametrize(
    ("own_us", "camera", "expected_us"), [(5_000, "a", 5_000), (None, "a", 2_000_000), (None, "x", 1_000_000)]
)
def test_the_deadline_is_the_frames_own_or_its_cameras_or_the_general_one(
    own_us: int | None, camera: str, expected_us: int
) -> None:
    door = Door()
    frame = door.admit_frame(camera, budget_us=own_us)
    assert frame.deadline_at == door.clock.wall_us() + expected_us
    assert frame.deadline_s == pytest.approx(door.clock.monotonic_s() + expected_us / 1e6)


def test_a_picture_whose_stamp_is_ahead_is_due_as_if_it_were_captured_when_it_was_read() -> None:
    door = Door()
    frame = door.admit_frame(captured_at=door.clock.wall_us() + 400_000, budget_us=300_000)
    assert frame.deadline_s == pytest.approx(door.clock.monotonic_s() + 0.3)
    assert frame.deadline_at == door.clock.wall_us() + 700_000, "what is written follows the stamp"


@pytest.mark.parametrize(("ahead_us", "reason"), [(500_000, None), (500_001, "captured_in_future")])
def test_a_stamp_may_be_ahead_by_the_allowed_skew_and_no_more(ahead_us: int, reason: str | None) -> None:
    door = Door()
    frame = door.admit_frame(captured_at=door.clock.wall_us() + ahead_us)
    assert (frame.refusal.reason if frame.refusal else None) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image": png(width=101, height=100)}, "too_large"),
        ({"image": png() + bytes(50_000)}, "too_large"),
        ({"image": b"GIF89a" + png()}, "unsupported"),
        ({"image": png(), "encoding": "jpeg"}, "corrupt"),
        (
            {
                "image": bytes(101 * 100),
                "encoding": "raw",
                "raw": {"width": 101, "height": 100, "pixel_format": "mono8"},
            },
            "too_large",
        ),
    ],
)
def test_an_image_over_the_limits_is_refused_by_its_header(fields: dict[str, Any], reason: str) -> None:
    refusal = Door().admit_frame(**fields).refusal
    assert refusal is not None
    assert (refusal.status, refusal.reason) == ("undecodable", reason)
    assert len(refusal.detail.split()) > 3, "a sentence"


def test_a_picture_that_could_never_be_decoded_within_the_budget_is_refused_at_once() -> None:
    refusal = Door(largest_decoding_bytes=10_000).admit_frame().refusal
    assert refusal is not None
    assert refusal.reason == "too_large"
    assert "max_bytes_in_flight" in refusal.detail


def test_pictures_unlike_those_of_the_training_are_refused_before_they_cost_anything() -> None:
    """The header is enough; a bomb of the wrong size never reaches a decoder."""
    door = Door()
    refusal = door.admit_frame("strict", image=png(width=96)).refusal
    assert refusal is not None
    assert (refusal.status, refusal.reason) == ("failed", "geometry")
    assert refusal.detail == "96 x 64 is not square and gray"
    assert door.admit_frame("strict", image=png()).refusal is None


def test_a_scan_bomb_is_refused_by_its_header() -> None:
    refusal = Door().admit_frame(encoding="jpeg", image=scan_bomb(64, 64, scans=65)).refusal
    assert refusal is not None
    assert (refusal.status, refusal.reason) == ("undecodable", "too_large")
    assert "65 scans" in refusal.detail
    assert Door().admit_frame(encoding="jpeg", image=scan_bomb(64, 64, scans=64)).refusal is None


def test_what_takes_long_to_decode_is_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    """By pixels and by passes over them."""
    monkeypatch.setattr(admit, "HEAVY_PIXELS", 64 * 64 * 17)
    door = Door()
    assert not door.admit_frame(encoding="jpeg", image=scan_bomb(64, 64, scans=63)).is_heavy
    assert door.admit_frame(encoding="jpeg", image=scan_bomb(64, 64, scans=64)).is_heavy
    assert not door.admit_frame().is_heavy
    monkeypatch.setattr(admit, "HEAVY_PIXELS", 64 * 64)
    assert door.admit_frame().is_heavy


def test_what_is_counted_is_what_the_model_needs_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A raw picture at half scale takes a quarter more; a crop, or a step of one's own, is taken as it is."""
    raw = {"width": 100, "height": 100, "pixel_format": "mono8"}
    domain = ImageDomain.rectangle(0, 0, 50, 50, image_width=100, image_height=100)
    counted = []
    changes: dict[str, Any]
    for changes in (
        {},
        {"domain_handling": "crop_domain", "domain": domain},
        {"preprocess_steps": (PreprocessStep(name="a", version="1"),)},
        {"decode_margin": 2.0},
    ):
        param = DLPreprocessParam.model_validate({"image_width": 32, "image_height": 32, **changes})
        monkeypatch.setattr(FakeModel, "preprocess_param", param)
        frame = Door().admit_frame(image=bytes(100 * 100), encoding="raw", raw=raw, image_digest=None)
        counted.append(frame.decoding_bytes - 4 * 32 * 32)
        assert frame.map_bytes == 4 * 32 * 32
    assert counted == [100 * 100 + 50 * 50, 100 * 100, 100 * 100, 100 * 100]


def test_a_raw_image_within_the_limits_is_admitted() -> None:
    raw = {"width": 80, "height": 60, "pixel_format": "rgb8"}
    frame = Door().admit_frame(image=bytes(80 * 60 * 3), encoding="raw", raw=raw, image_digest=None)
    assert frame.refusal is None
    assert frame.decoding_bytes >= 80 * 60 * 3


def test_a_deadline_beyond_what_a_message_can_say_is_the_last_that_it_can() -> None:
    """A setting may be longer than any budget that a frame may name."""
    frame = Door(default_budget_us=2 * MAX_BUDGET_US).admit_frame("x", captured_at=MAX_CAPTURED_AT)
    assert frame.deadline_at == MAX_INTEGER


@pytest.mark.parametrize("pixel_format", get_args(PixelFormat))
def test_the_decoder_counts_the_bytes_of_each_raw_format_as_the_wire_does(pixel_format: PixelFormat) -> None:
    """Two tables, since the wire's package may import nothing and the anomaly domain knows no wire."""
    wire = RawFormat(width=7, height=5, pixel_format=pixel_format)
    assert RawLayout(7, 5, pixel_format).num_bytes == wire.num_bytes
    frame = Door().admit_frame(image=bytes(wire.num_bytes), encoding="raw", raw=wire, image_digest=None)
    assert frame.refusal is None
    channels = 3 if pixel_format in {"rgb8", "bgr8"} else 1
    assert frame.decoding_bytes == 7 * 5 * channels + 4 * 64 * 64


def test_the_wire_has_no_format_or_encoding_that_the_decoder_lacks() -> None:
    assert get_args(PixelFormat) == get_args(anomaly_types.PixelFormat)
    assert get_args(ImageEncoding) == get_args(anomaly_types.ImageEncoding)


def test_a_garbled_body_is_answered_under_the_name_in_its_headers() -> None:
    door = Door()
    _, _, headers = record_of(camera_frame("a", 1, door.clock.wall_us()))
    frame = door.admit(b"line/a", b"garbage", headers)
    assert frame.refusal is not None
    assert (frame.refusal.status, frame.refusal.reason) == ("undecodable", "malformed")
    assert "CameraFrame is not msgpack" in frame.refusal.detail
    assert (frame.camera, frame.identity.seq) == ("line/a", 1)
    assert frame.deadline_at == door.clock.wall_us() + 2_000_000


def test_a_record_without_a_name_queues_by_its_partition() -> None:
    frame = Door().admit(None, b"garbage")
    assert (frame.camera, frame.deadline_at, frame.deadline_s) == ("frames/5", None, 1000.0)


@given(
    value=st.none() | st.binary(max_size=300),
    headers=st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9))),
)
def test_no_record_is_too_strange_to_be_answered(value: bytes | None, headers: Any) -> None:
    frame = Door().admit(b"key", value, headers)
    assert frame.refusal is not None
    assert frame.refusal.status == "undecodable"


def test_a_frame_that_names_its_picture_is_admitted_with_its_place_and_without_a_look_at_it() -> None:
    door = Door()
    frame = door.admit(*record_of(claim("a", 1, door.clock.wall_us(), "s3://bucket/lines/1.png")))
    assert frame.refusal is None
    assert frame.claim is not None
    assert frame.claim.place.path == "lines/1.png"
    assert frame.decoding_bytes == 0
    largest = claim("a", 1, door.clock.wall_us(), "s3://bucket/lines/1.png", image_bytes=50_000)
    assert door.admit(*record_of(largest)).refusal is None


@pytest.mark.parametrize(
    ("uri", "fields", "reason", "words"),
    [
        ("s3://bucket/other/1.png", {}, "image_refused", "is not inside any of store.allowed_prefixes"),
        ("http://169.254.169.254/latest", {}, "image_refused", "does not begin with s3://"),
        ("s3://bucket/lines/1.png", {"image_bytes": 50_001}, "too_large", "image_bytes is 50001, more than"),
    ],
)
def test_a_place_that_is_not_allowed_or_too_large_a_picture_is_refused_at_once(
    uri: str, fields: dict[str, Any], reason: str, words: str
) -> None:
    door = Door()
    frame = door.admit(*record_of(claim("a", 1, door.clock.wall_us(), uri, **fields)))
    assert frame.refusal is not None
    assert (frame.refusal.status, frame.refusal.reason) == ("undecodable", reason)
    assert words in frame.refusal.detail
    assert frame.claim is None
