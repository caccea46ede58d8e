"""Settings of the topics: their names, and how results are spread over them."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, model_validator

from inspector.settings.section import Positive, Section

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class TopicSettings(Section):
    """Names of the topics. `{prefix}` is replaced by `prefix`; results may also contain `{line_id}` and `{camera_id}`."""

    prefix: str = Field("inspection", pattern=r"^[A-Za-z0-9._-]{1,100}$", description="prefix of the topic names")
    frames: str = Field("{prefix}.frames", description="where cameras write")
    results: str = Field(
        "{prefix}.results", description="where verdicts are written; may contain {line_id} and {camera_id}"
    )
    deadletters: str = Field("{prefix}.deadletters", description="where frames that could not be inspected are written")
    heartbeats: str = Field(
        "{prefix}.heartbeats",
        description="where heartbeats (verdicts on a picture stored in the model) are written, if there are any",
    )
    models: str = Field(
        "{prefix}.models", description="where releases are written, if there are any: which model judges which camera"
    )
    audit: str = Field(
        "{prefix}.audit",
        description="where the record of all releases is written: who released what, and whether it was applied",
    )
    shadow: str = Field(
        "{prefix}.shadow", description="where the answers of models on trial are written; these are no verdicts"
    )
    frames_partitions: Positive = Field(
        8, description="number of partitions of the frames topic, which is also the maximum number of processes"
    )

    @model_validator(mode="after")
    def _names_are_legal(self) -> Self:
        self._name("frames", self.frames)
        self._name("deadletters", self.deadletters)
        self._name("heartbeats", self.heartbeats)
        self._name("models", self.models)
        self._name("audit", self.audit)
        self._name("shadow", self.shadow)
        self._name("results", self.results, line_id="L", camera_id="C")
        names = (*self.own_topics, self.results_topic("L", "C"))
        if len(set(names)) < len(names):
            raise ValueError(
                "frames, results, deadletters, heartbeats, models, audit and shadow must be seven different topics"
            )
        return self

    def _name(self, key: str, template: str, **fields: str) -> str:
        allowed = ", ".join("{" + name + "}" for name in ("prefix", *fields))
        try:
            name = template.format(prefix=self.prefix, **fields)
        except (KeyError, IndexError, ValueError) as exc:
            raise ValueError(f"{key} = {template!r}: only {allowed} may be used in braces") from exc
        if not _TOPIC.fullmatch(name):
            raise ValueError(
                f"{key} = {template!r} gives {name!r}, which is not a topic name (at most 249 of the characters A-Z "
                "a-z 0-9 . _ -)"
            )
        return name

    @property
    def frames_topic(self) -> str:
        """Name of the topic that cameras write."""
        return self._name("frames", self.frames)

    @property
    def deadletters_topic(self) -> str:
        """Name of the topic of frames that could not be inspected."""
        return self._name("deadletters", self.deadletters)

    @property
    def heartbeats_topic(self) -> str:
        """Name of the topic of heartbeats: verdicts on no part."""
        return self._name("heartbeats", self.heartbeats)

    @property
    def models_topic(self) -> str:
        """Name of the compacted topic of releases: which model judges which camera."""
        return self._name("models", self.models)

    @property
    def audit_topic(self) -> str:
        """Name of the topic that records who released what, and whether it was applied."""
        return self._name("audit", self.audit)

    @property
    def shadow_topic(self) -> str:
        """Name of the topic of what models on trial say."""
        return self._name("shadow", self.shadow)

    @property
    def own_topics(self) -> tuple[str, ...]:
        """Names of all topics but those of results, of which there may be several."""
        return (
            self.frames_topic,
            self.deadletters_topic,
            self.heartbeats_topic,
            self.models_topic,
            self.audit_topic,
            self.shadow_topic,
        )

    def results_topic(self, line_id: str, camera_id: str) -> str:
        """Name of the topic that this camera's verdicts go to."""
        return self._name("results", self.results, line_id=line_id, camera_id=camera_id)

    @property
    def stray_results_topic(self) -> str:
        """Name of the topic of verdicts on frames whose camera is unknown; the common one where there is only one.

        Names come from settings only: a message that could name topics could make them up.
        """
        return self.results_topic("unknown", "unknown")

    @property
    def results_per_camera(self) -> bool:
        """Whether the results' name depends on the camera, so that there are several such topics."""
        return self.results_topic("L", "C") != self.results_topic("M", "D")
