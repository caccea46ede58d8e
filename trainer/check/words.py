"""What a check found in words: sections of short lines, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.check.facts import Copies, Facts, SeenImage
from trainer.check.result import CheckResult
from trainer.listing.tally import Reason, Tally
from trainer.wording import counted, printable, some

_NAMES = 3
_SIZES = 4
_DETAILS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what it is about, and what there is to say."""

    title: str
    text: str


def verdict(result: CheckResult) -> str:
    """The whole in a sentence."""
    count = len(result.refusals)
    if count:
        return f"A fit would be refused, for {'1 reason' if count == 1 else f'{count} reasons'}:"
    looks = len(result.warnings) + len(result.oddities)
    points = f"the {counted(looks, 'point')} marked warning or look"
    return f"A fit would start.{f' Before that, look at {points}.' if looks else ''}"


def lines(result: CheckResult) -> list[Line]:
    """The table, from the files to the division."""
    facts = result.facts
    found = [Line("files", _files(result))]
    for reason, names in result.tally.by_reason.items():
        found += _left_out(result.tally, reason, names)
    if not facts.images:
        return found
    found += [Line("labels", _labels(facts)), *_defects(facts), *_division(result), *_masks(facts)]
    found += [Line("sizes", _counted([(f"{w}x{h}", n) for (w, h), n in facts.sizes], "sizes"))]
    found += [Line("formats", _counted(facts.formats, "formats"))]
    found += [*_copies(facts), *_named("EXIF turned", facts.turned), *_named("one colour", facts.blank), *_light(facts)]
    return found


def _files(result: CheckResult) -> str:
    tally = result.tally
    left_out = len(tally.left_out)
    return f"{tally.seen} seen: {counted(tally.taken)} to take, {left_out} left out" + (
        ", which are" if left_out else ""
    )


def _left_out(tally: Tally, reason: Reason, names: Sequence[str]) -> list[Line]:
    """One line for a reason; where each file has its own, a line for each."""
    details = [f"{printable(o.name)} {o.detail}" for o in tally.left_out if o.reason == reason and o.detail is not None]
    if not details:
        return [Line("", f"{len(names)} {reason}: {some(names, _NAMES)}")]
    more = len(details) - _DETAILS
    shown = [Line("", f"  {printable(detail)}") for detail in details[:_DETAILS]]
    rest = [Line("", f"  and {more} more, which --json names")] if more > 0 else []
    return [Line("", f"{len(names)} {reason}:"), *shown, *rest]


def _labels(facts: Facts) -> str:
    if all(image.label is None for image in facts.images):
        return "unknown: see the reason below"
    parts = [f"{n} {label}" + (f" in {split}" if split else "") for label, split, n in facts.labels]
    return ", ".join(parts)


def _defects(facts: Facts) -> list[Line]:
    defects = [(printable(name), n) for name, n in facts.defects]
    return [Line("defects", _counted(defects, "defects"))] if len(defects) > 1 else []


def _division(result: CheckResult) -> list[Line]:
    dataset = result.dataset
    if dataset is None:
        return []
    n_train, n_held = len(dataset.train), len(dataset.validation)
    judged = f"each scored by a model trained on the other {dataset.num_folds - 1} of {dataset.num_folds} folds"
    if not dataset.folds:
        judged = f"from {n_held} ok images that are held out"
    elif n_held:
        judged = f"from {n_held} that are held out, and from the training images, {judged}"
    else:
        judged = f"from the same, {judged}"
    tested = [f"{n} {label}" for (side, label), n in sorted(result.sides.items(), reverse=True) if side == "test"]
    unused = sum(n for (side, _), n in result.sides.items() if side == "not used")
    found = [
        Line("would learn", f"from {n_train} ok images{', once the problems below are solved' * result.is_refused}"),
        Line("threshold", judged),
        Line("would test", f"on {' and '.join(tested)} images" if tested else "not at all: there are no test images"),
    ]
    return [
        *found,
        *(
            [Line("not used", f"{counted(unused)}: copies of others, or in the same group as a test image")]
            if unused
            else []
        ),
    ]


def _masks(facts: Facts) -> list[Line]:
    nok = sum(image.label == "nok" for image in facts.images)
    if not nok:
        return []
    without = facts.nok_without_mask
    if len(without) == nok:
        return [Line("masks", f"none for the {nok} nok images, so it is not measured whether the right place is found")]
    names = f"; {len(without)} have none: {some([i.name for i in without], _NAMES)}" if without else ""
    return [Line("masks", f"{nok - len(without)} of {nok} nok images have one{names}")]


def _copies(facts: Facts) -> list[Line]:
    copies = facts.copies
    if not copies:
        return []
    more = sum(len(one.images) for one in copies) - len(copies)
    kind = "1 picture is" if len(copies) == 1 else f"{len(copies)} pictures are"
    found = [Line("copies", f"{kind} present more than once ({more} surplus files)")]
    return found + [Line("", _copy(one)) for one in sorted(copies, key=_gravity)[:_NAMES]]


def _gravity(copies: Copies) -> tuple[bool, bool, int]:
    return not copies.has_two_labels, not copies.is_on_two_sides, -len(copies.images)


def _copy(copies: Copies) -> str:
    equal = " = " if copies.is_same_file else " looks like "
    remark = (
        " (under ok and nok)" if copies.has_two_labels else " (in train and test)" if copies.is_on_two_sides else ""
    )
    shown = equal.join(printable(image.name) for image in copies.images[:2])
    more = len(copies.images) - 2
    return shown + (f" and {more} more" if more else "") + remark


def _named(title: str, images: Sequence[SeenImage]) -> list[Line]:
    return [Line(title, f"{len(images)}: {some([i.name for i in images], _NAMES)}")] if images else []


def _light(facts: Facts) -> list[Line]:
    ordered = facts.by_light
    ends = (("darkest", ordered[0]), ("brightest", ordered[-1]))
    return [Line(title, f"{printable(i.name)}, mean gray value {i.probe.brightness:.0f} of 255") for title, i in ends]


def _counted(counts: Sequence[tuple[str, int]], what: str) -> str:
    shown = ", ".join(f"{n} {name}" if what != "sizes" else f"{n} of {name}" for name, n in counts[:_SIZES])
    more = counts[_SIZES:]
    return shown + (f" and {sum(n for _, n in more)} of {len(more)} other {what}" if more else "")
