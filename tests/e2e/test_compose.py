"""The system of deploy/compose without containers: its own commands and files, each service a process on a free port."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.base import LOOPBACK, Broker, BrokerProcess, BrokerStartError, free_port
from deploy.local.broker import CHECKOUT, kafka_home
from deploy.local.kafka import KafkaNode
from tests.brokers import required
from tests.models import make_bundle
from tests.prometheus import required_program

pytestmark = [pytest.mark.slow, pytest.mark.kafka]

FOLDER = CHECKOUT / "deploy" / "compose"
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
TIMEOUT_S = 240.0


@contextmanager
def running_kafka(folder: Path) -> Iterator[Broker]:
    """Kafka from the jars with kafka.properties, on addresses and in a folder of the test's own."""
    home = kafka_home()
    if home is None:
        raise BrokerStartError("no Apache Kafka of our own: set KAFKA_HOME to a folder made with deploy/local/pom.xml")
    lines = (FOLDER / "kafka.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    client, host, controller = free_port(), free_port(), free_port()
    properties |= {
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
        "listeners": f"LINE://{LOOPBACK}:{client},HOST://{LOOPBACK}:{host},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"LINE://{LOOPBACK}:{client},HOST://{LOOPBACK}:{host}",
        "log.dirs": str(folder / "data"),
    }
    node = KafkaNode(home, folder, properties=properties)
    node.port = client
    try:
        yield node.start()
    finally:
        node.stop()


class Machine:
    """What compose would start, as processes: paths of containers become paths here, and settings that differ come from the environment."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = [f"{name}={value}" for name, value in environment.items()]

    def command(self, service: str, program: list[str], *, also: dict[str, Path] | None = None) -> list[str]:
        """The service's command with its mounts in their places; `also`: what lies in a volume of its own."""
        places = {str(place): str(path) for place, path in (also or {}).items()}
        for volume in SERVICES[service]["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                places.setdefault(target, str((FOLDER / source).resolve()))
        words = list(SERVICES[service]["command"])
        for target in sorted(places, key=len, reverse=True):
            # At a word's beginning, or behind the = of an option; not inside of another path.
            words = [re.sub(rf"(^|=){re.escape(target)}(?=/|$)", rf"\g<1>{places[target]}", word) for word in words]
        return ["env", *self._environment, *program, *words]

    @contextmanager
    def running(
        self, service: str, program: list[str], *more: str, also: dict[str, Path] | None = None
    ) -> Iterator[BrokerProcess]:
        """The service for the duration of a block."""
        command = [*self.command(service, program, also=also), *more]
        process = BrokerProcess(command, log=self._folder / f"{service}.log", cwd=self._folder)
        try:
            yield process
        finally:
            process.stop()


def with_short_intervals(configuration: Path) -> None:
    """Let Prometheus scrape and evaluate every second; the rest of the file stays as it is."""
    document = yaml.safe_load(configuration.read_text())
    document["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration.write_text(yaml.safe_dump(document, sort_keys=False))


def get(url: str, **parameters: str) -> Any:
    """The answer to a request, None where nobody answers yet."""
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:  # noqa: S310 our own
            body = answer.read().decode()
    except OSError:
        return None
    return json.loads(body) if body.startswith("{") else body


def until(condition: Callable[[], bool], process: BrokerProcess) -> None:
    give_up = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process.is_running, process.log_tail()
        assert time.monotonic() < give_up, f"it never came to that:\n{process.log_tail()}"
        time.sleep(0.2)


def test_frames_flow_and_prometheus_sees_it_with_the_very_files_of_compose(tmp_path: Path) -> None:
    prometheus, alertmanager = required_program("prometheus"), required_program("prometheus-alertmanager")
    broker_folder = tmp_path / "kafka"
    broker_folder.mkdir()
    port, prometheus_port, alertmanager_port = free_port(), free_port(), free_port()
    bundle = make_bundle(tmp_path / "models", width=96, height=128, name="cookie")
    config = tmp_path / "prometheus"
    shutil.copytree(CHECKOUT / "deploy/prometheus", config)
    with_short_intervals(config / "prometheus.yml")
    targets = config / "targets"
    targets.mkdir()
    for name, where in (("inspector", port), ("alertmanager", alertmanager_port)):
        (targets / f"{name}.yml").write_text(json.dumps([{"targets": [f"{LOOPBACK}:{where}"]}]))
    inspector = [sys.executable, "-m", "inspector"]
    with ExitStack() as stack:
        broker = stack.enter_context(required(running_kafka(broker_folder)))
        machine = Machine(
            tmp_path,
            {
                "INSPECTOR_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
                "INSPECTOR_MODELS": json.dumps({"cookie": str(bundle)}),
                "INSPECTOR_HTTP__PORT": str(port),
                "OMP_NUM_THREADS": "1",
            },
        )
        made = subprocess.run(
            machine.command("topics", inspector), capture_output=True, text=True, timeout=120, check=False
        )
        assert made.returncode == 0, made.stderr
        assert "inspection.frames" in made.stdout

        serving = stack.enter_context(machine.running("inspector", inspector))
        until(lambda: get(f"http://{LOOPBACK}:{port}/readyz") == "ok\n", serving)
        camera = stack.enter_context(machine.running("camera", inspector, "--budget-ms", "600000"))
        address = f"{LOOPBACK}:{alertmanager_port}"
        alerting = stack.enter_context(
            machine.running(
                "alertmanager",
                [alertmanager],
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
                also={"/alertmanager": tmp_path / "alertmanager"},
            )
        )
        watching = stack.enter_context(
            machine.running(
                "prometheus",
                [prometheus],
                f"--web.listen-address={LOOPBACK}:{prometheus_port}",
                also={"/etc/prometheus": config, "/prometheus": tmp_path / "series"},
            )
        )

        def is_seen(expression: str) -> bool:
            found = get(f"http://{LOOPBACK}:{prometheus_port}/api/v1/query", query=expression)
            return bool(found and found["data"]["result"])

        def has_alertmanager() -> bool:
            found = get(f"http://{LOOPBACK}:{prometheus_port}/api/v1/alertmanagers")
            return bool(found and found["data"]["activeAlertmanagers"])

        until(lambda: is_seen('up{job="inspector"} == 1'), watching)
        until(lambda: is_seen('sum(inspector_frames_total{status="inspected"}) >= 3'), watching)
        until(has_alertmanager, watching)
        until(lambda: get(f"http://{address}/-/ready") is not None, alerting)
        assert camera.is_running, camera.log_tail()

        check = [sys.executable, str(CHECKOUT / "deploy/images/inspector/healthcheck.py")]
        environment = os.environ | {"HEALTH_URL": f"http://{LOOPBACK}:{port}/healthz"}
        assert subprocess.run(check, capture_output=True, timeout=60, check=False, env=environment).returncode == 0
