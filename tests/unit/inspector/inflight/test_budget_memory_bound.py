"""How much may be read, decoded and held: arithmetic that the burst test then checks on a real process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.domain.cache import KEPT_PIXELS, KEPT_SIZES
from inspector.inflight.budget import (
    FRAME_OVERHEAD_BYTES,
    LOOK_BYTES,
    PREPARING_FACTOR,
    SENDING_SPANS_BYTES,
    SHADOW_UNSENT_BYTES,
    TRACED_FRAME_BYTES,
    Budget,
    chunk_bytes,
    fetched_bytes,
    headroom_chunks,
    largest_decoding_bytes,
    memory_bound_bytes,
)
from inspector.settings.section import MIB
from inspector.settings.settings import LimitSettings, Settings


def settings(**limits: Any) -> Settings:
    return Settings(limits=LimitSettings(**limits))


@given(limit=st.integers(20, 900), used=st.integers(0, 900), pixels=st.integers(1, 100_000_000))
def test_a_read_that_is_allowed_leaves_room_for_one_frame_to_be_decoded(limit: int, used: int, pixels: int) -> None:
    tree = settings(max_bytes_in_flight=limit * MIB, max_pixels=pixels)
    budget = Budget(limit * MIB)
    budget.hold(used * MIB)
    chunks = headroom_chunks(tree, budget)
    assert chunks >= (1 if used == 0 else 0)
    if used > 0 and chunks > 0:
        read = budget.used_bytes + chunks * chunk_bytes(tree)
        assert read + largest_decoding_bytes(tree) <= budget.limit_bytes


def test_decoding_gets_what_the_largest_picture_needs_and_at_most_half_of_the_budget() -> None:
    largest = 6 * 1_000_000 + 4 * 1024 * 1024  # in colour, twice, and the map of scores
    assert largest_decoding_bytes(settings(max_bytes_in_flight=64 * MIB, max_pixels=1_000_000)) == largest
    assert largest_decoding_bytes(settings(max_bytes_in_flight=20 * MIB, max_pixels=90_000_000)) == 10 * MIB


def bound(
    partitions: int = 2,
    workers: int = 2,
    device_threads: int = 2,
    domains: int = 0,
    device: str = "cpu",
    fetch_bytes: int = MIB,
    send_bytes: int = MIB,
    **limits: Any,
) -> int:
    return memory_bound_bytes(
        Settings(limits=LimitSettings(**limits), device=device),
        partitions=partitions,
        workers=workers,
        device_threads=device_threads,
        domains=domains,
        fetch_bytes=fetch_bytes,
        send_bytes=send_bytes,
    )


def test_the_bound_grows_with_everything_that_is_bounded() -> None:
    assert bound(max_bytes_in_flight=600 * MIB) - bound(max_bytes_in_flight=500 * MIB) >= 100 * MIB
    one_more = bound(partitions=3) - bound(partitions=2)
    assert one_more == 2 * fetched_bytes(Settings()) >= 2 * 8 * MIB, (
        "one more fetch of the largest message, and what it is inflated to"
    )
    assert bound(workers=3, max_pixels=MIB) - bound(workers=2, max_pixels=MIB) == 10 * MIB
    assert bound(fetch_bytes=40 * MIB) - bound(fetch_bytes=30 * MIB) == 20 * MIB
    assert bound(send_bytes=2 * MIB) - bound(send_bytes=MIB) == 2 * MIB * Settings().topics.frames_partitions
    assert bound(max_frames_in_flight=2048) - bound(max_frames_in_flight=1024) == 1024 * 4096


def test_the_bound_counts_what_is_done_only_where_it_is_asked_for() -> None:
    named: dict[str, int] = dict.fromkeys(("partitions", "workers", "device_threads", "domains"), 1)
    named |= {"fetch_bytes": MIB, "send_bytes": MIB}
    alone = Settings(second_writer_check_s=0)
    assert memory_bound_bytes(Settings(), **named) - memory_bound_bytes(alone, **named) == 2 * LOOK_BYTES
    traced = Settings.model_validate({"tracing": {"endpoint": "http://127.0.0.1:4318", "max_queued_frames": 100}})
    more = memory_bound_bytes(traced, **named) - memory_bound_bytes(Settings(), **named)
    assert more == 100 * TRACED_FRAME_BYTES + SENDING_SPANS_BYTES


def test_the_bound_counts_what_waits_for_a_model_on_trial_where_there_are_releases() -> None:
    named: dict[str, int] = dict.fromkeys(("partitions", "workers", "device_threads", "domains"), 1)
    named |= {"fetch_bytes": MIB, "send_bytes": MIB}

    def with_releases(shadow_bytes: int) -> int:
        releases = {"store": "file:///srv/m/", "cache": "cache", "shadow_bytes": shadow_bytes}
        return memory_bound_bytes(Settings.model_validate({"releases": releases}), **named)

    assert with_releases(80 * MIB) - with_releases(60 * MIB) == 20 * MIB
    beside = with_releases(60 * MIB) - memory_bound_bytes(Settings(), **named) - 60 * MIB
    decoded, encoded = largest_decoding_bytes(Settings()), 10 * Settings().limits.max_pixels
    assert beside == decoded + encoded + SHADOW_UNSENT_BYTES + 2 * MIB, "one picture beside those of the line"


def test_the_bound_counts_the_read_and_the_decoding_that_may_go_beyond_the_budget() -> None:
    tree = settings(max_bytes_in_flight=100 * MIB)
    rest = bound(0, 0, 0, fetch_bytes=0, send_bytes=0, max_bytes_in_flight=100 * MIB) - 2 * tree.partition_fetch_bytes
    frames = tree.limits.max_frames_in_flight * FRAME_OVERHEAD_BYTES
    beside = 2 * LOOK_BYTES + fetched_bytes(tree)
    assert rest == 100 * MIB + chunk_bytes(tree) + largest_decoding_bytes(tree) + frames + beside


def test_the_bound_counts_what_a_thread_needs_to_prepare_a_large_picture() -> None:
    one_more = bound(device_threads=3, max_pixels=MIB) - bound(device_threads=2, max_pixels=MIB)
    assert one_more == PREPARING_FACTOR * 3 * MIB
    large = bound(device_threads=1, max_pixels=100_000_000) - bound(device_threads=0, max_pixels=100_000_000)
    decoding = largest_decoding_bytes(settings(max_pixels=100_000_000))
    assert large == PREPARING_FACTOR * decoding, "no picture is larger than decoding may make it"
    on_gpu = [bound(device="cuda", max_pixels=MIB, device_threads=threads) for threads in (0, 1)]
    assert on_gpu[1] - on_gpu[0] == 3 * MIB
    assert bound(device_threads=200) == bound(device_threads=100), "there are no more pictures than fit in flight"
    assert bound(device="cuda", max_pixels=MIB, device_threads=1) < bound(max_pixels=MIB, device_threads=1)


def test_the_bound_counts_the_masks_that_are_kept() -> None:
    assert bound(domains=20) - bound() == 20 * KEPT_SIZES * KEPT_PIXELS
    assert bound(domains=1, max_pixels=MIB) - bound(max_pixels=MIB) == KEPT_SIZES * MIB


PREPARING = """
import sys
import numpy as np, torch
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import create_dl_preprocess_param

def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

torch.set_num_threads(1)
width, height = 4000, 2000
domain = ImageDomain.of_polygons([((0, 0), (width, 0), (0, height))], image_width=width, image_height=height)
param = create_dl_preprocess_param(
    image_width=256, image_height=256, normalization_type="all_channels", domain_handling="keep_domain", domain=domain
)
image = np.full((height, width, 3), 7, np.uint8)
image.flags.writeable = False  # a raw format's
with torch.inference_mode():
    preprocess_images([np.ascontiguousarray(image[::10, ::10])], param, torch.device("cpu"))
    before = memory("VmRSS")
    preprocess_images([image], param, torch.device("cpu"))
print((memory("VmHWM") - before) / image.nbytes)
"""


TILES = """
import sys
import numpy as np, torch
from inspector.anomaly.preprocess.param import create_dl_preprocess_param
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import ImageGeometry
from tests.models import looking_through, tiny_model

def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

torch.set_num_threads(1)
width, height = 6000, 4000
param = create_dl_preprocess_param(image_width=32, image_height=32, tile=TileParam(width=500, height=500, overlap=50))
geometry = ImageGeometry(width=width, height=height, channels=3)
model = looking_through(tiny_model(width=32, height=32, detector="patchcore"), param, geometry)
image = np.full((height, width, 3), 7, np.uint8)
model.warm_up([1])
model.launch([image[:1000, :1000]]).finish()
before = memory("VmRSS")
model.launch([image]).finish()
print((memory("VmHWM") - before) / image.nbytes)
"""


def test_tiles_of_a_picture_take_less_than_the_bound_counts() -> None:
    done = subprocess.run([sys.executable, "-c", TILES], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 1


def test_preparing_a_picture_takes_no_more_than_the_bound_counts() -> None:
    done = subprocess.run([sys.executable, "-c", PREPARING], capture_output=True, text=True, check=True)
    factor = float(done.stdout)
    assert 4 <= factor <= PREPARING_FACTOR
