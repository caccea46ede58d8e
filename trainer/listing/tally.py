"""What happened to every file that a command found: it was taken, or left out and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from trainer.wording import counted, some

Reason = Literal[
    "hidden",
    "not a picture by its name",
    "of a format that is not read",
    "no regular file",
    "in the folder of masks",
    "a mask",
    "a link to a folder that was read already",
    "outside train/, validation/ and test/",
    "outside the sub-folders that were asked for",
    "outside the time window",
    "not named as in the archive",
    "a copy of an earlier image",
    "kept for its score near the threshold",
    "nok without a mask",
    "unreadable",
    "does not fit the model",
]

PICTURES_LEFT_OUT: Final[frozenset[Reason]] = frozenset(
    {"of a format that is not read", "unreadable", "does not fit the model"}
)
"""Reasons that somebody who gave a folder of pictures has to know of: there is a picture, and nothing is said of it."""

_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that was not taken, or a folder that was not entered.

    Attributes:
        name: As the command's source names it.
        reason: Why.
        detail: What is wrong with it, in words, where the reason does not say it all.
    """

    name: str
    reason: Reason
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many files were taken, and which were left out: together all that were seen."""

    taken: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def seen(self) -> int:
        """All of them."""
        return self.taken + len(self.left_out)

    @property
    def pictures_left_out(self) -> int:
        """How many of what was left out are pictures that were to be taken."""
        return sum(one.reason in PICTURES_LEFT_OUT for one in self.left_out)

    @property
    def by_reason(self) -> dict[Reason, list[str]]:
        """Names of what was left out by the reason, the most frequent first."""
        found: dict[Reason, list[str]] = {}
        for one in self.left_out:
            found.setdefault(one.reason, []).append(one.name)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    @property
    def reasons(self) -> str:
        """What was left out and why, in words; nothing where all were taken."""
        parts = [f"{len(names)} {reason} ({some(names, _NAMES_SHOWN)})" for reason, names in self.by_reason.items()]
        return ", ".join(parts)

    @property
    def sentence(self) -> str:
        """The whole, in words."""
        files = f"{counted(self.seen, 'file')} seen, {self.taken} taken"
        return f"{files}, {len(self.left_out)} left out: {self.reasons}" if self.left_out else files

    def without(self, left_out: Iterable[LeftOut]) -> Tally:
        """The tally after some of what was taken has been left out."""
        more = tuple(left_out)
        return replace(self, taken=self.taken - len(more), left_out=(*self.left_out, *more))

    def moved(self, names: Iterable[str], reason: Reason) -> Tally:
        """The tally after some of what was taken has been left out, all for one reason."""
        return self.without(LeftOut(name, reason) for name in names)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"seen": self.seen, "taken": self.taken, "left_out": self.left_out_as_json()}

    def left_out_as_json(self) -> list[dict[str, Any]]:
        """An object for each reason."""
        return [
            {"reason": reason, "count": len(names), "files": sorted(names)} for reason, names in self.by_reason.items()
        ]
