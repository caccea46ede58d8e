"""Whether this process reads everything that it should, compared with what the brokers say there is. Pure; event loop only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from inspector.bus.ports import Partition, Survey

UNSEEN_AFTER_S = 10.0
"""If the brokers do not answer for this long, it is unknown whether everything is read."""

STALLED_AFTER_S = 10.0
"""A partition whose records are not read for so long makes the process unready."""

GIVE_UP_AFTER_S = 30.0
"""After so long the process ends: whatever holds this consumer up, a new one may not have it."""


LOOKS = 3
"""As many surveys must have found it so, seconds apart: a process that was suspended has read nothing meanwhile, either."""


@dataclass(slots=True)
class _Progress:
    position: int | None
    since_s: float
    still_s: float = 0.0
    waiting: int = 0
    given_up: int = 0


class Watch:
    """Compares what there is with what is read. A partition stands still only while it is asked for and the brokers answer."""

    def __init__(self, topic: str, now_s: float) -> None:
        """Watch over `topic`, of which nothing is known yet."""
        self._topic = topic
        self._survey: Survey | None = None
        self._seen_s = now_s
        self._trouble = ""
        self._refusal: tuple[str, float, float] | None = None  # what is said, since when, and when last
        self._partitions: dict[Partition, _Progress] = {}

    def begin(self) -> None:
        """Forget how long partitions have stood still: they were shared out anew."""
        self._partitions.clear()

    def seen(
        self, survey: Survey, positions: Mapping[Partition, int | None], asked: Collection[Partition], now_s: float
    ) -> None:
        """Take note of a survey.

        Args:
            survey: what the brokers say.
            positions: the next offset to be read of each partition of this process; None: not known yet.
            asked: those that were to be read since the survey before; the others may stand still.
            now_s: monotonic seconds.
        """
        self._survey, self._seen_s, self._refusal = survey, now_s, None
        self._partitions = {p: done for p, done in self._partitions.items() if p in positions}
        for partition, position in positions.items():
            done = self._partitions.setdefault(partition, _Progress(position, now_s))
            done.waiting = max(0, survey.ends.get(partition, 0) - (position or 0))
            if done.position != position or done.waiting == 0 or partition not in asked:
                done.position, done.since_s = position, now_s
            done.still_s = now_s - done.since_s
            done.given_up = done.given_up + 1 if done.still_s >= GIVE_UP_AFTER_S else 0

    def unseen(self, trouble: str) -> None:
        """Take note of a survey that failed: who reads nothing while the brokers are away does not stand still."""
        self._trouble, self._refusal = trouble, None
        self._partitions.clear()

    def end(self, partition: Partition) -> int | None:
        """Return the offset behind the last record of a partition, as of the last survey; None where it told none."""
        return None if self._survey is None else self._survey.ends.get(partition)

    def refused(self, sentence: str, now_s: float) -> None:
        """Take note of a survey that the brokers refused: credentials or rights are not what they were."""
        self._partitions.clear()
        self._refusal = (sentence, now_s if self._refusal is None else self._refusal[1], now_s)

    def is_refused_for_good(self) -> bool:
        """Return whether the brokers have refused every survey for so long that an operator must act."""
        return self._refusal is not None and self._refusal[2] - self._refusal[1] >= GIVE_UP_AFTER_S

    def stalled_s(self) -> dict[Partition, float]:
        """Return for how long each partition has had records and not been read."""
        return {partition: done.still_s for partition, done in self._partitions.items()}

    def not_ready(self, now_s: float) -> str | None:
        """Return why this process does not read what it should, as a sentence; None: it does."""
        survey = self._survey
        if self._refusal is not None:
            return self._refusal[0]
        if now_s - self._seen_s >= UNSEEN_AFTER_S:
            return f"the brokers have not told for {now_s - self._seen_s:.0f} s what there is to read: {self._trouble}"
        if survey is None:
            return "the brokers have not reported yet what there is to read"
        if survey.partitions == 0:
            return f"topic {self._topic} does not exist"
        if survey.partitions != survey.shared_out:
            return (
                f"topic {self._topic} has {survey.partitions} partitions, but there were {survey.shared_out} when the "
                "group shared them out"
            )
        return self._stalled(STALLED_AFTER_S)

    def failure(self) -> str | None:
        """Return why this process should end, as a sentence; None: it should not."""
        stalled = self._stalled(GIVE_UP_AFTER_S, looks=LOOKS)
        return (
            None
            if stalled is None
            else (f"{stalled}, although the brokers answer; a new process may be able to read it")
        )

    def _stalled(self, after_s: float, *, looks: int = 0) -> str | None:
        for (topic, number), done in sorted(self._partitions.items()):
            if done.still_s >= after_s and done.given_up >= looks:
                at = "its first offset" if done.position is None else f"offset {done.position}"
                return (
                    f"partition {number} of {topic} holds {done.waiting} records from {at} on, and none of them was "
                    f"read for {done.still_s:.0f} s"
                )
        return None
