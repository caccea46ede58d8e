"""The loop that one would write first, on aiokafka: one frame at a time, and each step waits for the one before.

Run as a process of its own: `python -m tests.benchmarks.plain_loop BUNDLE BOOTSTRAP FRAMES_TOPIC RESULTS_TOPIC SECONDS
THREADS...`; prints one JSON array, a figure for each number of torch threads. It checks less than the service: no
digest, no deadline, no limits.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from inspector.anomaly.network.tuning import tune_malloc
from schemas import (
    CameraFrame,
    DLResultMessage,
    ModelReference,
    RecordSource,
    decode,
    encode,
    result_headers,
    result_id_of_frame,
)

WARM_UP_FRAMES = 10


async def _measure(model: Any, topics: tuple[str, str], clients: tuple[Any, Any], seconds: float) -> dict[str, float]:
    consumer, producer = clients
    frames, started, started_cpu = 0, 0.0, 0.0
    done = 0
    while not started or time.perf_counter() - started < seconds:
        if done == WARM_UP_FRAMES:
            frames, started, started_cpu = 0, time.perf_counter(), time.process_time()
        record = await asyncio.wait_for(consumer.getone(), 10)
        message = _judge(model, record)
        await producer.send_and_wait(topics[1], encode(message), record.key, headers=result_headers(message))
        await consumer.commit()
        done += 1
        frames += 1
    elapsed, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    return {"frames_per_s": frames / elapsed, "cpu_ms_per_frame": 1000 * cpu / frames}


def _judge(model: Any, record: Any) -> DLResultMessage:
    from inspector.anomaly.preprocess.image import decode_image
    from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
    from inspector.stages.encode import _region

    frame = decode(CameraFrame, record.value)
    param = model.preprocess_param
    sample = decode_image(frame.image, target=param.decode_target, margin=param.decode_margin)
    (result,) = model.launch([sample.image]).finish()
    threshold_dl_anomaly_results(model, sample, result)
    identity = frame.identity._asdict()
    return DLResultMessage(
        result_id=result_id_of_frame(**identity),
        source=RecordSource(topic=record.topic, partition=record.partition, offset=record.offset),
        **identity,
        status="inspected",
        reason="none",
        anomaly_score=result.anomaly_score,
        anomaly_class=result.anomaly_class,
        anomaly_class_id=result.anomaly_class_id,
        anomaly_region=_region(result.anomaly_region),
        classification_threshold=result.classification_threshold,
        segmentation_threshold=result.segmentation_threshold,
        deadline_at=frame.captured_at + 1_000_000,
        produced_at=time.time_ns() // 1000,
        model=ModelReference(name=model.name, version=model.version, digest=model.digest),
    )


async def _run(arguments: list[str]) -> None:
    import torch

    from inspector.anomaly.model.bundle import read_dl_model

    bundle, bootstrap, frames_topic, results_topic, seconds, *threads = arguments
    model = read_dl_model(Path(bundle))
    consumer = AIOKafkaConsumer(
        frames_topic,
        bootstrap_servers=bootstrap,
        group_id=f"plain-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await consumer.start()
    await producer.start()
    try:
        figures = []
        for number in map(int, threads):
            torch.set_num_threads(number)
            figures.append(await _measure(model, (frames_topic, results_topic), (consumer, producer), float(seconds)))
            await consumer.seek_to_beginning()
    finally:
        await consumer.stop()
        await producer.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    tune_malloc()
    asyncio.run(_run(sys.argv[1:]))
