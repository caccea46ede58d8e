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

    line_id: Identifier = Field(description="the line that the camera stands at")
    camera_id: Identifier = Field(description="the camera, unique on its line")
    model: Identifier = Field(description="a name from [models]")
    classification_threshold: float | None = Field(
        None, gt=0, lt=1, description="scores from here on are nok; default: the one that the bundle was calibrated to"
    )
    partition: Annotated[int, Field(ge=0)] | None = Field(
        None, description="partition of the frames topic that this camera's producer uses; default: hash of the key"
    )
    budget_ms: Positive | None = Field(
        None, description="verdict due so long after capture; default: [deadline] default_budget_ms"
    )
    weight: float = Field(
        1.0,
        ge=0.001,
        le=1000,
        description="share of the capacity under overload: a camera of weight 2 gets twice the time of the device that one of 1 gets",
    )
    policy: Literal["inspect_all", "freshest_first"] = Field(
        "inspect_all",
        description="inspect_all: every frame that can be in time is inspected; freshest_first: of the frames that wait only the "
        "newest, the older ones are answered as expired, reason superseded",
    )

    @property
    def key(self) -> str:
        """`line_id/camera_id`: message key, and the name of this camera in metrics and logs."""
        return f"{self.line_id}/{self.camera_id}"


class LimitSettings(Section):
    """Bounds of what one process takes in."""

    max_frame_bytes: Positive = Field(8 * MIB, description="largest encoded image")
    max_pixels: Positive = Field(
        64_000_000,
        description="largest image, width x height; memory may grow by 24 bytes a pixel for each scoring thread",
    )
    max_jpeg_scans: Positive = Field(
        64, description="scans of one JPEG: each costs a pass over its pixels; encoders write 1, or 10 if progressive"
    )
    slow_decoding_ms: Positive = Field(
        2_000, description="a frame that is decoded for longer is named in the log and counted"
    )
    max_bytes_in_flight: Positive = Field(
        512 * MIB,
        description="bytes of all frames being processed, encoded and decoded; the log shows the bound of memory that follows",
    )
    max_frames_in_flight: Positive = Field(1024, description="frames of one partition between read and commit")
    max_clock_skew_ms: Positive = Field(
        2_000,
        description="a frame stamped further in the future is refused at once; one stamped less far is refused only if its"
        " verdict is ready before that time",
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
    """How frames are put together for the device."""

    max_batch_size: int = Field(
        8,
        ge=1,
        le=256,
        description="frames scored at once; for a model with tiles it counts tiles",
    )
    linger_ms: float = Field(0, ge=0, le=10_000, description="how long a free device waits for a fuller batch")

    @property
    def linger_s(self) -> float:
        """`linger_ms` in seconds."""
        return self.linger_ms / 1000


class DeadlineSettings(Section):
    """When a verdict is due."""

    default_budget_ms: Positive = Field(
        1_000, description="from capture to result, for frames and cameras that name none"
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
        None, description="name of this deployment, which every result carries (default: kafka.group_id)"
    )
    second_writer_check_s: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="how often, in seconds, the results topics are searched for results that another deployment wrote about these cameras; 0: never",
    )
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)
    models: dict[Identifier, Path] = Field(
        default_factory=dict, description="name = folder of a bundle; relative to this file"
    )
    model_digests: dict[Identifier, Digest] = Field(
        default_factory=dict,
        description="name = SHA-256 of the model's bundle.json, as the log and /metrics show it; any other bundle is refused",
    )
    require_signature: bool = Field(
        False, description="refuse bundles that are not signed by a key of trusted_keys (trainer sign)"
    )
    trusted_keys: tuple[Path, ...] = Field(
        (), description="PEM files of Ed25519 public keys; a bundle that is signed must be signed by one of them"
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
        0, description="threads that decode pictures and encode results, at least two; 0: one for each core"
    )
    device_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="batches scored in parallel on a CPU; 0: one for each core; a GPU always has one thread"
    )
    torch_threads: Annotated[int, Field(ge=1)] = Field(
        1, description="threads of one forward pass on a CPU; more of them reduce the delay if cores are idle"
    )
    commit_interval_ms: Positive = Field(250, description="how often offsets are committed")
    drain_timeout_s: float = Field(20.0, gt=0, description="time to finish frames in flight on stop or rebalance")
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
                "drain_timeout_s must be below kafka.rebalance_timeout_ms, or the group goes on without this process"
            )
        if self.watchdog.send_s <= self.kafka.longest_send_s:
            raise ValueError(
                f"watchdog.send_s must be above {self.kafka.longest_send_s:g} s, within which a send fails by itself with this "
                "kafka.request_timeout_ms; raise the one or lower the other"
            )
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature needs trusted_keys, or every bundle would be refused")
        for name in self.model_digests:
            if name not in self.models:
                known = ", ".join(sorted(self.models)) or "none"
                raise ValueError(f"model_digests.{name}: [models] does not name such a model (it names {known})")
        seen: set[str] = set()
        for camera in self.cameras:
            if camera.key in seen:
                raise ValueError(f"camera {camera.key} is listed twice")
            seen.add(camera.key)
            if camera.model not in self.models:
                known = ", ".join(sorted(self.models)) or "none"
                raise ValueError(
                    f"camera {camera.key} wants model {camera.model!r}, which [models] does not name (it names {known})"
                )
            if camera.partition is not None and camera.partition >= self.topics.frames_partitions:
                raise ValueError(
                    f"camera {camera.key} wants partition {camera.partition}; topics.frames_partitions is "
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
            raise ValueError("archive.group_id must not be kafka.group_id: the inspectors' group is theirs alone")
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
