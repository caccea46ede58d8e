"""What an engineer does with models in a day: learn, release, exchange, try on a share of the parts, roll back, learn again, look back."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from deploy.demo.children import DemoError
from tests.e2e.factory.book import Book, Change
from tests.e2e.factory.line import (
    ALIENS,
    CAMERAS,
    COOKIES,
    LEFT,
    RIGHT,
    Camera,
    backtest_command,
    compare_command,
    fit_command,
    inspector_command,
    refit_command,
    release_command,
)
from tests.e2e.factory.plant import Plant

FIRST, SECOND, THIRD = ALIENS.model, "aliens-2", "aliens-3"
"""The models of the aliens: that of the morning, a heavier one, and the one that learns from the archive."""

CANARY_PERCENT = 25
PICTURES = 12
"""Of the backtest's largest differences."""


class Engineer:
    """Types the trainer's commands, and keeps the book."""

    def __init__(self, plant: Plant, book: Book) -> None:
        """Work on a plant."""
        self._plant, self._book = plant, book
        self._stage, self._places = plant.stage, plant.places

    def learn(self) -> None:
        """Fit three models on ok images.

        Raises:
            DemoError: One cannot be fitted.
        """
        for product, name, options in (
            (ALIENS, FIRST, ("--quality", "fast")),
            (COOKIES, COOKIES.model, ("--quality", "fast")),
            (ALIENS, SECOND, ()),
        ):
            outcome = self._stage.output_of(
                f"fit-{name}", fit_command(product, self._places.bundle(name), *options)
            )  # fmt: skip
            self._book.fits[name] = outcome
            self._stage.say(
                f"{name}: {outcome['detector']}, from {outcome['n_train']} ok images; of {outcome['n_test_nok']} defects it finds {outcome['recall']:.0%}"
            )

    def release(self, title: str, name: str, cameras: Sequence[Camera], *options: str) -> Change:
        """Release a bundle, and wait until every inspector judges by it.

        Raises:
            DemoError: It is refused, or does not become the one that judges.
        """
        bundle = str(self._places.bundle(name))
        return self._change(title, release_command("release", self._places, cameras, bundle, "--note", title, *options))

    def roll_back(self, title: str, cameras: Sequence[Camera]) -> Change:
        """Take the last change of cameras back, likewise."""
        return self._change(title, release_command("rollback", self._places, cameras, "--note", title))

    def first_release(self) -> None:
        """Let each camera be judged by a release, instead of what the settings say."""
        self.release("first release", FIRST, CAMERAS[:2])
        self.release("first release", COOKIES.model, CAMERAS[2:])

    def swap(self) -> None:
        """Exchange the aliens' model while frames flow: there, back, and there again."""
        for name in (SECOND, FIRST, SECOND):
            change = self.release(f"swap to {name}", name, (LEFT, RIGHT))
            self._stage.say(f"both aliens cameras are judged by {name}, {change.took_s:.1f} s after the release")

    def try_in_the_shadow(self, seconds: float) -> None:
        """Let the second model score what one camera sends, and judge nothing of it; then hold both against each other.

        Raises:
            DemoError: There is nothing to compare.
        """
        self.roll_back("back to the first", (RIGHT,))
        self.release("shadow", SECOND, (RIGHT,), "--shadow")
        with self._book.period("shadow scores", "change"):
            self._plant.watch(seconds)
        found = self._stage.output_of("compare", compare_command(RIGHT, self._places, pictures=PICTURES))
        self._book.said["compare"] = found
        self._stage.say(f"{found['frames']} frames compared, {len(found['differences'])} other verdicts")

    def try_on_a_share(self, seconds: float) -> None:
        """Let the second model judge a share of one camera's parts for a while, and end the trial."""
        title = f"canary of {CANARY_PERCENT} %"
        self.release(title, SECOND, (RIGHT,), "--canary", str(CANARY_PERCENT))
        with self._book.period("canary judges", "change"):
            self._plant.watch(seconds)
        self.roll_back("end of the canary", (RIGHT,))

    def go_back(self) -> None:
        """Roll the other camera back."""
        self.roll_back("roll back", (LEFT,))

    def learn_again(self) -> None:
        """Fit on what the archive has kept of the left camera, unless that is worse than the model in use."""
        command = refit_command(LEFT, self._places, self._places.bundle(THIRD), self._places.bundle(FIRST))
        status, lines = self.try_command(f"fit-{THIRD}", command)
        self._book.statuses["retrain"] = status
        if status == 0:
            self._book.fits[THIRD] = lines[-1]
            self._stage.say(
                f"{THIRD}: learnt from {lines[-1]['n_train']} archived pictures, and not worse than {FIRST}"
            )

    def look_back(self) -> None:
        """Let the model from the archive judge the right camera's day, whose pictures it has not seen.

        Raises:
            DemoError: It cannot.
        """
        command = backtest_command(RIGHT, self._places, self._places.bundle(THIRD), pictures=PICTURES)
        found = self._stage.output_of("backtest", command)
        self._book.said["backtest"] = found
        self._stage.say(f"{found['images']} pictures judged again, {len(found['differences'])} other verdicts")

    def verify(self) -> None:
        """Hold the record of all releases against the releases."""
        status, _ = self.try_command("audit-verify", inspector_command("audit verify", self._places))
        self._book.statuses["audit"] = status

    def try_command(self, name: str, command: list[str]) -> tuple[int, list[Any]]:
        """Run a command that may be refused; return its status and what it printed as JSON."""
        lines: list[str] = []
        with self._stage.start(name, command, on_line=lambda line, _: lines.append(line)) as child:
            status = child.wait()
        return status, [json.loads(line) for line in lines if line.startswith("{")]

    def _change(self, title: str, command: list[str]) -> Change:
        ordered_s = time.time()
        said = self._stage.outputs_of(f"release-{len(self._book.changes) + 1}", command)
        numbers = {str(one["camera"]): int(one["number"]) for one in said}
        if not numbers:
            raise DemoError(f"{title}: nothing was released")
        took_s = self._plant.until(lambda: self._is_everywhere(numbers), f"all inspectors judge by: {title}")
        change = Change(title, numbers, ordered_s, took_s)
        self._book.changes.append(change)
        return change

    def _is_everywhere(self, numbers: dict[str, int]) -> bool:
        return all(
            service.sample("inspector_release_number", camera=camera) == number
            for camera, number in numbers.items()
            for service in self._plant.inspectors
        )
