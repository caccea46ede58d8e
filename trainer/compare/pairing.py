"""Pairs what both models said about the same frames, the shadow's answers first. Pure; keeps little of frames on which they agree."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from schemas import DLResultMessage, ModelReference, ShadowResultMessage
from trainer.compare.result import CompareResult, Opinion, Pair
from trainer.errors import DatasetError


@dataclass
class Pairing:
    """Of one camera. The model compared is that which was on trial last, unless one is asked for.

    Attributes:
        camera: `line_id/camera_id`.
        digest: Beginning of the digest of the model on trial that is meant; empty: the last.
    """

    camera: str
    digest: str = ""
    _tried: ModelReference | None = None
    _shadow: dict[str, dict[str, tuple[Opinion, int]]] = field(default_factory=dict)  # by digest, then by result_id
    _pairs: dict[str, Pair] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _unseen: int = 0

    def add_shadow(self, message: ShadowResultMessage) -> None:
        """Take what a model on trial said; the first of a frame counts."""
        if message.captured_at is None or not message.model.digest.startswith(self.digest):
            return
        self._tried = message.model
        said, verdict = self._shadow.setdefault(message.model.digest, {}), message.shadow
        if message.result_id in said:
            return
        if verdict is None:
            opinion = Opinion(message.model, "nok", reason=message.failure)
        else:
            opinion = Opinion(
                message.model,
                verdict.anomaly_class,
                verdict.anomaly_score,
                verdict.classification_threshold,
                verdict.anomaly_region,
            )
        said[message.result_id] = (opinion, message.captured_at)

    @property
    def first_us(self) -> int:
        """The earliest capture that the model on trial has seen.

        Raises:
            DatasetError: It has seen none.
        """
        return self._window[0]

    @cached_property
    def _window(self) -> tuple[int, int]:
        """The earliest and the latest capture that it has seen; asked for when all of them are known."""
        captured = [at for _, at in self._of_tried.values()]
        return min(captured), max(captured)

    @property
    def _of_tried(self) -> dict[str, tuple[Opinion, int]]:
        if self._tried is None:
            meant = f" whose digest begins with {self.digest}" if self.digest else ""
            raise DatasetError(
                f"no model on trial{meant} has said anything of frames that {self.camera} captured in this window; begin a trial with "
                "`trainer release BUNDLE --shadow`, widen the window, or look at inspector_shadow_shed_total"
            )
        return self._shadow[self._tried.digest]

    def add_result(self, message: DLResultMessage) -> None:
        """Take a verdict, after all that was said in the shadow; the first of a frame counts."""
        if message.result_id in self._seen:
            return
        self._seen.add(message.result_id)
        if message.status != "inspected" or message.model is None:
            return
        said = self._of_tried.get(message.result_id)
        if said is None:
            first_us, last_us = self._window
            self._unseen += first_us <= (message.captured_at or 0) <= last_us
            return
        opinion = said[0]
        agrees = message.anomaly_class == opinion.verdict
        self._pairs[message.result_id] = Pair(
            message.result_id,
            message.part_id or "",
            message.seq or 0,
            message.captured_at or 0,
            message.source,
            Opinion(
                message.model,
                message.anomaly_class,
                message.anomaly_score,
                message.classification_threshold,
                None if agrees else message.anomaly_region,
            ),
            replace(opinion, region=None) if agrees else opinion,
        )

    def result(self) -> CompareResult:
        """Return what was found.

        Raises:
            DatasetError: There is no frame that both have scored.
        """
        said, tried = self._of_tried, self._tried
        if not self._pairs or tried is None:
            raise DatasetError(
                f"of the {len(said)} frames of {self.camera} that the model on trial has seen, no result is there any more; compare sooner, "
                "or keep the results topic longer"
            )
        others = {one for digest, ids in self._shadow.items() if digest != tried.digest for one in ids}
        pairs = sorted(self._pairs.values(), key=lambda pair: (pair.captured_at, pair.result_id))
        return CompareResult(self.camera, tried, pairs, self._unseen, len(said) - len(pairs), len(others - said.keys()))
