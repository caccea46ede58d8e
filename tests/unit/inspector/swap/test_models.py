"""What a process has of its own for releases and trials: nothing where releases are off, and both clients are let go."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from inspector.bus.reading.log import LogReader
from inspector.errors import BusError
from inspector.observe.metrics import Metrics
from inspector.settings.settings import Settings
from inspector.stages.score import Engine
from inspector.swap.models import Models
from tests.fakes import FakeBroker, FakeClock, FakeProducer


class Client(FakeProducer):
    """Says whether it was let go."""

    is_stopped = False

    @override
    async def stop(self) -> None:
        self.is_stopped = True


class Broken:
    """A reader that cannot disconnect."""

    async def stop(self) -> None:
        raise BusError("could not disconnect: no broker answers")


def models(releases: dict[str, str], registry: CollectorRegistry, shadow: Client) -> Models:
    settings = Settings.model_validate(
        {
            "models": {"m": "m"},
            "cameras": [{"line_id": "line", "camera_id": "a", "model": "m"}],
            "releases": releases,
        }
    )
    return Models(
        settings,
        cast("Engine", None),  # it is asked for nothing before models are loaded
        producer=Client(FakeBroker({})),
        metrics=Metrics(registry),
        clock=FakeClock(),
        post=lambda job: None,
        on_crash=lambda exc: None,
        release_log=cast("LogReader", Broken()),
        shadow_producer=shadow,
    )


async def test_the_client_of_trials_is_let_go_though_that_of_releases_cannot_be(tmp_path: Path) -> None:
    shadow = Client(FakeBroker({}))
    releases = {"store": "file:///srv/models/", "cache": str(tmp_path)}
    with pytest.raises(BusError, match="could not disconnect"):
        await models(releases, CollectorRegistry(), shadow).stop()
    assert shadow.is_stopped


async def test_without_releases_there_is_nothing_for_trials(tmp_path: Path) -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    off = models({}, registries[0], Client(FakeBroker({})))
    on = models({"store": "file:///srv/models/", "cache": str(tmp_path)}, registries[1], Client(FakeBroker({})))
    assert (off.shadow is None, on.shadow is None) == (True, False)
    named = [{family.name for family in registry.collect()} for registry in registries]
    assert {name for name in named[1] - named[0] if "shadow" in name}, "series of trials"
    assert not {name for name in named[0] if "shadow" in name or "release" in name}
    off.show()
    assert off.end(is_fault=False)
