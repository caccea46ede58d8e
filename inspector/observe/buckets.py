"""The buckets in which durations, ratios and sizes are counted, and the reasons for them."""

from __future__ import annotations

# 0.5 ms to 10 s: a small image decodes in about a millisecond; what takes ten seconds is broken.
STAGE_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# 5 ms to 60 s: below lies the broker's own time; above, the frame expired long ago.
LATENCY_BUCKETS_S = (
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
)
# Around 1, where a verdict turns: a drift of ok parts shows long before it gets there.
SCORE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.5, 2.0)
# Below zero a camera's clock is ahead of ours; above lies what a frame takes to arrive.
OFFSET_BUCKETS_S = (
    -10.0,
    -2.0,
    -1.0,
    -0.5,
    -0.2,
    -0.1,
    -0.05,
    -0.02,
    -0.01,
    -0.005,
    0.0,
    0.01,
    0.05,
    0.1,
    0.5,
    2.0,
    10.0,
    60.0,
)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
