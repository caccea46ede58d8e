"""Labels in the names of images: what `--label-pattern` means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import DatasetError
from trainer.labels.words import label_of_word
from trainer.wording import some

_NAMED = frozenset({"ok", "nok"})


@dataclass(frozen=True, slots=True)
class LabelPattern:
    """A regular expression that is searched in each image's name, with its folders and `/` between, whatever the case.

    What its first `()` captures is a word for ok or nok in one of the known languages: `_(OK|NOK)`. Where the names have other
    words, the groups say what these mean: `(?P<ok>_A)|(?P<nok>_B)`; with `(?P<ok>...)` alone all else is nok. Only whole words
    are captured: `(OK)` is not found in `NOK` or `token`.

    Raises:
        DatasetError: It is not a regular expression, captures nothing, or has groups of other names.
    """

    text: str

    def __post_init__(self) -> None:
        try:
            pattern = self._pattern
        except re.error as error:
            raise DatasetError(
                f"label_pattern {self.text!r} is not a regular expression: {error}; correct it"
            ) from error
        if not pattern.groups:
            raise DatasetError(
                f"label_pattern {self.text!r} captures nothing; put the words of the label into parentheses, such as "
                "'_(OK|NOK)'"
            )
        named = set(pattern.groupindex)
        if strangers := sorted(named - _NAMED):
            raise DatasetError(
                f"label_pattern {self.text!r} names a group {some(strangers)}; name them ok and nok, or none"
            )
        if named == {"nok"}:
            raise DatasetError(
                f"label_pattern {self.text!r} says what is nok but not what is ok; add (?P<ok>...), so that a name "
                "that says neither is never used for training as ok"
            )

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.text, re.IGNORECASE)

    def labels(self, names: Iterable[PurePosixPath]) -> dict[PurePosixPath, AnomalyClass]:
        """The label of each name.

        Raises:
            DatasetError: Names that say nothing, both, or a word that is for neither; all are counted, some named.
        """
        labels: dict[PurePosixPath, AnomalyClass] = {}
        silent: list[PurePosixPath] = []
        both: list[PurePosixPath] = []
        unknown: dict[str, PurePosixPath] = {}
        for name in names:
            found = self._found(str(name))
            words = {word for word in found if word not in _NAMED}
            if words:
                unknown.setdefault(min(words), name)
            elif len(found) > 1:
                both.append(name)
            elif found:
                labels[name] = "ok" if found == {"ok"} else "nok"
            elif self._rest_is_nok:
                labels[name] = "nok"
            else:
                silent.append(name)
        self._refuse(silent, both, unknown)
        return labels

    @property
    def _rest_is_nok(self) -> bool:
        return set(self._pattern.groupindex) == {"ok"}

    def _found(self, name: str) -> set[str]:
        """`ok`, `nok`, and what was captured that is for neither."""
        pattern, found, start = self._pattern, set(), 0
        while match := pattern.search(name, start):
            start = match.start() + 1
            groups: list[str | int] = [group for group in _NAMED if group in pattern.groupindex] or [1]
            for group in groups:
                if match[group] and _is_whole(name, *match.span(group)):
                    found.add(str(group) if group in _NAMED else label_of_word(match[group]) or match[group])
        return found

    def _refuse(
        self, silent: list[PurePosixPath], both: list[PurePosixPath], unknown: dict[str, PurePosixPath]
    ) -> None:
        head = f"label_pattern {self.text!r}"
        if unknown:
            word, name = next(iter(unknown.items()))
            raise DatasetError(
                f"{head} captures {word!r} in {name}, which is no known word for ok or nok; name the groups, such as "
                f"(?P<ok>A)|(?P<nok>B)"
            )
        if both:
            raise DatasetError(
                f"{head} finds words for ok and for nok in {some(both)}; make it narrower, for example at the end of the name: "
                r"'_(OK|NOK)\.[a-z]+$'"
            )
        if silent:
            raise DatasetError(
                f"{head} finds no label in {len(silent)} names: {some(silent)}; make it wider, or move these images "
                "away (only whole words are found)"
            )


def check_group_pattern(text: str) -> None:
    """Refuse a pattern of groups that cannot be one.

    Raises:
        DatasetError: It is not a regular expression, or captures nothing.
    """
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise DatasetError(f"group_pattern {text!r} is not a regular expression: {error}; correct it") from error
    if not groups:
        raise DatasetError(
            f"group_pattern {text!r} captures nothing; put the part that names the group into parentheses"
        )


def _is_whole(name: str, start: int, end: int) -> bool:
    """Whether the part of the name is a word of its own."""
    before, first = name[start - 1 : start], name[start : start + 1]
    last, after = name[end - 1 : end], name[end : end + 1]
    if before.isalpha() and first.isalpha():
        # PartOK is two words, but partnOK may be one and nOK.
        is_parted = before.islower() and first.isupper() and before != "n"
        if not is_parted:
            return False
    return not (last.isalpha() and after.isalpha()) or (last.islower() and after.isupper())
