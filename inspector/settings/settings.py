"""Settings of the service and its clients: one frozen tree, checked as a whole before anything starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from inspector.settings.gate import GateSettings
from inspector.settings.kafka import KafkaSettings
from inspector.settings.places.archive import ArchiveSettings
from inspector.settings.places.releases import ReleaseSettings
from inspector.settings.places.store import StoreSettings
from inspector.settings.section import MIB, Digest, Identifier, Positive, Section
from inspector.settings.topics import TopicSettings
from inspector.settings.watch.heartbeat import HeartbeatSettings
from inspector.settings.watch.http import HttpSettings
from inspector.settings.watch.tracing import TracingSettings
from inspector.settings.watch.watchdog import WatchdogSettings

ENV_PREFIX = "INSPECTOR_"
# What a message adds to the image that it carries: identity, digest, msgpack framing and Kafka headers.
MESSAGE_OVERHEAD_BYTES = 64 * 1024


class CameraSettings(Section):
    """The route of one camera's frames."""

    line_id: Identifier = Field(description="the line to which the camera belongs")
    camera_id: Identifier = Field(description="the camera's id, unique on its line")
    model: Identifier = Field(description="a name from [models]")
    classification_threshold: float | None = Field(
        None, gt=0, lt=1, description="parts with this score or more are nok; default: the bundle's threshold"
    )
    partition: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="partition of the frames topic that this camera's producer uses; default: chosen by a hash "
        "of the key",
    )
    budget_ms: Positive | None = Field(
        None, description="time from capture to verdict; default: [deadline] default_budget_ms"
    )
    weight: float = Field(
        1.0,
        ge=0.001,
        le=1000,
        description="share of the capacity under overload: a camera of weight 2 gets twice as much time on the device "
        "as one of weight 1",
    )
    policy: Literal["inspect_all", "freshest_first"] = Field(
        "inspect_all",
        description="inspect_all: every frame that can still be in time is inspected; freshest_first: only the newest "
        "waiting frame is inspected, older ones are answered as expired, reason superseded",
    )

    @property
    def key(self) -> str:
        """`line_id/camera_id`: message key, and the name of this camera in metrics and logs."""
        return f"{self.line_id}/{self.camera_id}"


class LimitSettings(Section):
    """Limits on what one process accepts."""

    max_frame_bytes: Positive = Field(8 * MIB, description="maximum size of an encoded image")
    max_pixels: Positive = Field(
        64_000_000,
        description="maximum number of pixels (width x height); each scoring thread may need 24 bytes of memory per "
        "pixel",
    )
    max_jpeg_scans: Positive = Field(
        64,
        description="maximum number of scans in a JPEG, each of which costs a pass over its pixels; encoders "
        "write 1, or about 10 if progressive",
    )
    slow_decoding_ms: Positive = Field(2_000, description="if decoding a frame takes longer, it is logged and counted")
    max_bytes_in_flight: Positive = Field(
        512 * MIB,
        description="memory for all frames being processed, encoded and decoded; the log shows the resulting limit "
        "for the whole process",
    )
    max_frames_in_flight: Positive = Field(
        1024, description="maximum number of frames of one partition between read and commit"
    )
    max_clock_skew_ms: Positive = Field(
        2_000,
        description="a frame whose capture time is further in the future is refused at once; if it is less far, the "
        "frame is refused only if its verdict is ready before that time",
    )

    @property
    def max_message_bytes(self) -> int:
        """Largest frames message: the image and what goes with it."""
        return self.max_frame_bytes + MESSAGE_OVERHEAD_BYTES

    @model_validator(mode="after")
    def _one_frame_fits(self) -> Self:
        if self.max_bytes_in_flight < 2 * self.max_message_bytes:
            raise ValueError("max_bytes_in_flight must hold at least two frames of max_frame_bytes")
        return self


class BatchingSettings(Section):
    """How frames are combined into batches for the device."""

    max_batch_size: int = Field(
        8,
        ge=1,
        le=256,
        description="maximum number of frames scored together; for a model with tiles, the number of tiles",
    )
    linger_ms: float = Field(
        0, ge=0, le=10_000, description="how long an idle device waits for more frames to fill a batch"
    )

    @property
    def linger_s(self) -> float:
        """`linger_ms` in seconds."""
        return self.linger_ms / 1000


class DeadlineSettings(Section):
    """When a verdict must be ready."""

    default_budget_ms: Positive = Field(
        1_000, description="time from capture to result, for frames and cameras that do not set their own"
    )


class Settings(BaseSettings):
    """Everything that an operator may set.

    The constructor takes what it is given and nothing else; `settings.file.load_settings` merges the command line, the
    environment and a file, and explains what is wrong.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    deployment: Identifier | None = Field(
        None, description="name of this deployment, which is written into every result (default: kafka.group_id)"
    )
    second_writer_check_s: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="how often, in seconds, to look for results about these cameras that another deployment wrote; 0: "
        "never",
    )
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)
    models: dict[Identifier, Path] = Field(
        default_factory=dict,
        description="name and bundle folder of each model; paths are relative to the settings file",
    )
    model_digests: dict[Identifier, Digest] = Field(
        default_factory=dict,
        description="name of a model and SHA-256 of its bundle.json, as shown in the log and on /metrics; any other "
        "bundle is refused",
    )
    require_signature: bool = Field(
        False, description="refuse bundles that are not signed with one of the trusted_keys (see trainer sign)"
    )
    trusted_keys: tuple[Path, ...] = Field(
        (), description="PEM files of Ed25519 public keys; a signed bundle must be signed with one of them"
    )
    cameras: tuple[CameraSettings, ...] = Field((), description="one table for each camera")
    limits: LimitSettings = Field(default_factory=LimitSettings)
    batching: BatchingSettings = Field(default_factory=BatchingSettings)
    deadline: DeadlineSettings = Field(default_factory=DeadlineSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    watchdog: WatchdogSettings = Field(default_factory=WatchdogSettings)
    heartbeat: HeartbeatSettings = Field(default_factory=HeartbeatSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    releases: ReleaseSettings = Field(default_factory=ReleaseSettings)
    archive: ArchiveSettings = Field(default_factory=ArchiveSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    decode_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="number of threads that decode pictures and encode results, at least two; 0: one per core"
    )
    device_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="number of batches scored in parallel on a CPU; 0: one per core; a GPU always has one thread"
    )
    torch_threads: Annotated[int, Field(ge=1)] = Field(
        1,
        description="number of threads for one forward pass on a CPU; more threads reduce the delay if cores are idle",
    )
    commit_interval_ms: Positive = Field(250, description="how often offsets are committed")
    drain_timeout_s: float = Field(20.0, gt=0, description="time to finish the frames in flight on stop or rebalance")
    deadletter_bytes: bool = Field(False, description="include the image in dead letters")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    log_json: bool = Field(False, description="log one JSON object per line instead of text")

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the constructor's arguments: what a test builds does not depend on its environment."""
        return (init_settings,)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.drain_timeout_s * 1000 >= self.kafka.rebalance_timeout_ms:
            raise ValueError(
                "drain_timeout_s must be less than kafka.rebalance_timeout_ms, otherwise the group continues without "
                "this process"
            )
        if self.watchdog.send_s <= self.kafka.longest_send_s:
            raise ValueError(
                f"watchdog.send_s must be above {self.kafka.longest_send_s:g} s, within which a send fails by itself with this "
                "kafka.request_timeout_ms; raise the one or lower the other"
            )
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature needs trusted_keys, otherwise every bundle would be refused")
        for name in self.model_digests:
            if name not in self.models:
                known = ", ".join(sorted(self.models)) or "none"
                raise ValueError(f"model_digests.{name}: [models] does not contain this model (it contains {known})")
        seen: set[str] = set()
        for camera in self.cameras:
            if camera.key in seen:
                raise ValueError(f"camera {camera.key} is listed twice")
            seen.add(camera.key)
            if camera.model not in self.models:
                known = ", ".join(sorted(self.models)) or "none"
                raise ValueError(
                    f"camera {camera.key} uses model {camera.model!r}, which is not in [models] (it contains {known})"
                )
            if camera.partition is not None and camera.partition >= self.topics.frames_partitions:
                raise ValueError(
                    f"camera {camera.key} uses partition {camera.partition}, but topics.frames_partitions is "
                    f"{self.topics.frames_partitions}, so the last is {self.topics.frames_partitions - 1}"
                )
        return self

    @model_validator(mode="after")
    def _gate_agrees(self) -> Self:
        at_gate = {camera.camera_id for camera in self.cameras if camera.line_id == self.gate.line_id}
        if (fault := self.gate.disagreement(self.heartbeat.interval_ms, at_gate)) is not None:
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _releases_agree(self) -> Self:
        if self.releases.uses_s3 and self.store.endpoint is None:
            raise ValueError(
                "releases.store is in S3, so store.endpoint is needed: https://s3.eu-central-1.amazonaws.com"
            )
        return self

    @model_validator(mode="after")
    def _archive_agrees(self) -> Self:
        if self.archive.group_id == self.kafka.group_id:
            raise ValueError("archive.group_id must not be kafka.group_id, which only the inspectors may use")
        return self

    @property
    def deployment_name(self) -> str:
        """`deployment`, or the group's id with `_` in place of what a name may not hold."""
        return self.deployment or re.sub(r"[^A-Za-z0-9_-]", "_", self.kafka.group_id)[:64]

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    @property
    def partition_fetch_bytes(self) -> int:
        """Bytes that one fetch takes from a partition at most, unless a single record batch is larger.

        Such a batch comes all the same since Kafka 0.10.1 (KIP-74), for one partition of each answer.
        """
        return self.kafka.max_partition_fetch_bytes

    def camera(self, line_id: str, camera_id: str) -> CameraSettings | None:
        """The route of this camera, or None where the settings do not name it."""
        return next((c for c in self.cameras if (c.line_id, c.camera_id) == (line_id, camera_id)), None)

    def budget_us(self, line_id: str, camera_id: str) -> int:
        """Microseconds from capture to verdict for a frame of this camera that brings no budget of its own."""
        camera = self.camera(line_id, camera_id)
        own = camera.budget_ms if camera is not None else None
        return (own or self.deadline.default_budget_ms) * 1000
