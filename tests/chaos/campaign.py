"""What a campaign is, what it brings back, and where all of them are found."""

from __future__ import annotations

import importlib
import pkgutil
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.base import Broker, BrokerStartError
from deploy.local.broker import kafka_home
from deploy.local.kafka import KafkaNode
from tests.chaos import campaigns

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Row:
    """One promise of one campaign, as it was found.

    Attributes:
        campaign: name of the campaign.
        promise: what was promised, in words.
        trials: how often it was put to the test: faults, frames, seconds.
        figure: what came out, in words.
        held: None where nothing could be tried here, or a time was measured by small counts; `figure` says why.
        details: what broke the promise, a few of each; other figures for the JSON.
    """

    campaign: str
    promise: str
    trials: int
    figure: str
    held: bool | None
    details: Mapping[str, object] = field(default_factory=dict)


class SkipCampaign(Exception):  # noqa: N818 it is no error
    """This campaign cannot be run on this machine; the message says why."""


@dataclass
class Context:
    """What a campaign is given: a folder of its own, seeded chance, its counts, and brokers.

    Attributes:
        judges_times: False for small counts: a few seconds on a machine that does other things tell of the machine.
    """

    name: str
    folder: Path
    seed: int
    counts: Counts
    shared: Shared
    mutation: str | None = None
    judges_times: bool = True
    rng: random.Random = field(init=False)
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.name} {self.seed}")

    @property
    def is_stopping(self) -> bool:
        """Whether somebody wants the run to end: no more harm, but what was done is judged."""
        return self.shared.is_stopping

    def broker(self) -> Broker:
        """The node that campaigns share: topics and groups must be the campaign's own (`World` sees to it), and it stays up."""
        return self.shared.broker()

    def node(self, name: str, properties: Mapping[str, str] | None = None) -> KafkaNode:
        """A node for this campaign alone, formatted and not started; `Shared.close` ends it."""
        return self.shared.node(self.folder / name, properties)

    def bundle(self) -> Path:
        """The model of all campaigns."""
        return self.shared.bundle()

    def row(
        self, promise: str, *, trials: int, figure: str, held: bool | None, is_time: bool = False, **details: object
    ) -> None:
        """Add what was found of one promise; one that `is_time` is told but not judged where counts are small."""
        if is_time and held is not None and not self.judges_times:
            held, figure = None, f"{figure} (times are judged by full counts)"
        self.rows.append(Row(self.name, promise, trials, figure, held, details))
        self.say(f"{ {True: 'held', False: 'MISSED', None: 'not judged'}[held] }: {promise}: {figure}")

    def say(self, text: str) -> None:
        """Tell the person who waits."""
        print(f"[{time.strftime('%H:%M:%S')} {self.name}] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Campaign:
    """A campaign: faults of one kind, the promises that they attack, and how it is known that it would notice.

    Attributes:
        name: for `--only`.
        summary: one line for people.
        full: counts of the long run.
        smoke: smaller counts of the same names.
        run: brings rows by `Context.row`; it may raise `SkipCampaign`.
        mutations: protections (modules of `tests/chaos/mutations`), and words of the promise that must be missed when each is off.
        mutated: counts for that; default: those of the smoke run.
    """

    name: str
    summary: str
    full: Counts
    smoke: Counts
    run: Callable[[Context], Awaitable[None]]
    mutations: Mapping[str, str]
    mutated: Counts | None = None


class Shared:
    """What campaigns share: the broker, started by the first that asks, and the model."""

    def __init__(self, folder: Path) -> None:
        """Keep everything in `folder` (empty, ours)."""
        self._folder = folder
        self._nodes: list[KafkaNode] = []
        self._broker: Broker | None = None
        self._bundle: Path | None = None
        self.is_stopping = False

    def stop(self, *_: object) -> None:
        """Come to an end: the first signal; the second interrupts."""
        if self.is_stopping:
            raise KeyboardInterrupt
        self.is_stopping = True

    def folder_for(self, name: str) -> Path:
        """Make a new folder for a campaign."""
        folder = self._folder / f"{len(list(self._folder.glob('*'))):02d}-{name}"
        folder.mkdir(parents=True)
        return folder

    def node(self, folder: Path, properties: Mapping[str, str] | None = None) -> KafkaNode:
        """Format a node in `folder`.

        Raises:
            SkipCampaign: There is no Apache Kafka here.
        """
        home = kafka_home()
        if home is None:
            raise SkipCampaign("no Apache Kafka: set KAFKA_HOME to a folder made with deploy/local/pom.xml")
        folder.mkdir(parents=True)
        try:
            node = KafkaNode(home, folder, properties=properties)
        except BrokerStartError as exc:
            raise SkipCampaign(str(exc)) from exc
        self._nodes.append(node)
        return node

    def broker(self) -> Broker:
        """Start the shared node where it does not run yet."""
        if self._broker is None:
            self._broker = self.node(self._folder / "kafka").start()
        return self._broker

    def bundle(self) -> Path:
        """Fit the tiny model where it is not there yet."""
        if self._bundle is None:
            from tests.models import write_tiny_bundle  # it loads torch

            self._bundle = write_tiny_bundle(self._folder / "models" / "tiny")
        return self._bundle

    @property
    def broker_name(self) -> str | None:
        """Product and version of the nodes; None where none was made."""
        return f"Apache Kafka {self._nodes[0].version}" if self._nodes else None

    def close(self) -> None:
        """Stop every node, also one that a campaign left frozen."""
        for node in self._nodes:
            try:
                process = node.process
            except BrokerStartError:
                continue
            if process.is_running:
                process.resume()
            process.kill()


def find_campaigns() -> dict[str, Campaign]:
    """Return every campaign by name, in the order of the modules' names."""
    modules = (
        importlib.import_module(f"{campaigns.__name__}.{m.name}") for m in pkgutil.iter_modules(campaigns.__path__)
    )
    found = [module.CAMPAIGN for module in modules]
    return {campaign.name: campaign for campaign in found}
