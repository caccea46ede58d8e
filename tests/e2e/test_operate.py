"""docs/operate.md, "Without containers", then its first look, upgrade and rollback: the page's very commands on a bare Debian 12.

It needs root, systemd-nspawn, a network and ten minutes or more, so it is done when asked, with the root of a Debian (copied, not changed):

    mmdebstrap --variant=important --include=ca-certificates,systemd,systemd-sysv,dbus bookworm out/bookworm
    BARE_DEBIAN=out/bookworm pytest -s tests/e2e/test_operate.py      # -s: each step's time is printed

The machine shares this one's network, and takes ports 9090, 9092, 9093, 9300, 19092 and 19094. BARE_OPTIONS has more words for systemd-nspawn, such as
`--bind-ro=/opt/wheels`. Three things differ from the page: the checkout comes from here, PyTorch's index is left out unless TORCH_INDEX is
set, and Kafka's jars come from KAFKA_HOME or ../shared/kafka where there are some. Step 7, Grafana, is left out.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.base import LOOPBACK
from deploy.local.broker import CHECKOUT, kafka_home
from deploy.local.prometheus import Prometheus
from tests.e2e.bare import Bare, booted, missing
from tests.monitoring.panels import NAMES, Panel, panels

# A guard against a hang, on a machine that has other work, too.
pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(2 * 3600)]

PAGE = (CHECKOUT / "docs" / "operate.md").read_text(encoding="utf-8")
PORTS = (9090, 9092, 9093, 9300, 19092, 19094)
GRAFANA = 7
INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu "
HOME = "/root/line-inspector"
CHOSEN = {
    "line": {"line": "line1"},
    "camera": {"camera": "line1/cookie"},
    "service": {"instance": ".*"},
    "models": {"camera": ".*"},
}
ENDLESS = "results --follow"
QUIET = {"Reasons", "Frames of models on trial"}
"""Panels that are empty while every frame is judged in time, and where no releases are followed."""
DATA_S = 600.0


def section(heading: str) -> str:
    """What stands below a heading of the page."""
    return re.split(r"^## ", PAGE.split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def code(text: str, indent: int) -> str:
    """The lines of code in a text, without their indentation."""
    lines = [line[indent:] for line in text.splitlines() if re.match(rf" {{{indent}}}\S", line)]
    assert lines
    return "\n".join(lines)


def steps() -> dict[int, str]:
    """The commands of each numbered step."""
    found = re.split(r"^(\d)\. ", section("Without containers"), flags=re.MULTILINE)
    return {int(number): code(text, 8) for number, text in zip(found[1::2], found[2::2], strict=True)}


def as_here(commands: str) -> str:
    """The commands with the three differences that the first lines of this file name, and with an end to what has none."""
    if not os.environ.get("TORCH_INDEX"):
        commands = commands.replace(INDEX, "")
    lines = [line for line in commands.splitlines() if not line.startswith("kubectl ")]
    if kafka_home() is not None:
        lines = [
            "mkdir -p /opt/kafka && cp -r /mnt/kafka /opt/kafka/libs" if line.startswith("mvn ") else line
            for line in lines
        ]
    return "\n".join(f"{{ {line} || true; }} | sed 3q" if ENDLESS in line else line for line in lines)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Bare]:
    """A copy of the root that BARE_DEBIAN names, booted."""
    wish = os.environ.get("BARE_DEBIAN")
    if wish is None:
        pytest.skip("no bare machine: BARE_DEBIAN names the root of one; the first lines of this file say more")
    lack = missing()
    if lack is not None:
        pytest.skip(lack)
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                pytest.skip(f"port {port} of this machine is in use")
    root = tmp_path / "root"
    # Devices, owners and rights, too, which shutil.copytree would not keep.
    subprocess.run(["/bin/cp", "--archive", wish, root], check=True)
    options = [f"--bind-ro={CHECKOUT}:/mnt/checkout", *shlex.split(os.environ.get("BARE_OPTIONS", ""))]
    home = kafka_home()
    if home is not None:
        options.append(f"--bind-ro={home.resolve() / 'libs'}:/mnt/kafka")
    with booted(root, log=tmp_path / "console.log", options=options) as machine:
        yield machine
    shutil.rmtree(root)


class Clock:
    """Runs steps, and prints how long each took and what load this machine had."""

    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._began_s = time.monotonic()

    def step(self, name: str, commands: str, *, folder: str = HOME) -> str:
        """Run commands of the page; return what they print."""
        done = self._bare.run(as_here(commands), folder=folder)
        self.tell(name)
        assert done.returncode == 0, f"{name}: {done.stdout[-6000:]}"
        return done.stdout

    def tell(self, name: str) -> None:
        """Print the time since the beginning, with what the bare machine computed in it."""
        minutes, seconds = divmod(round(time.monotonic() - self._began_s), 60)
        usage = dict(line.split() for line in self._bare.run("cat /sys/fs/cgroup/cpu.stat").stdout.splitlines())
        computed = f"{int(usage['usage_usec']) / 1e6:.0f} s on a core, load {os.getloadavg()[0]:.1f}"
        print(
            f"{time.strftime('%H:%M:%S', time.gmtime())} UTC, {minutes}:{seconds:02} since the start, {computed}: {name}"
        )


def wait_for_data(prometheus: Prometheus) -> None:
    """Wait until every panel of every dashboard has an answer to each query, by Prometheus."""

    def is_answered(panel: Panel) -> bool:
        answers = (prometheus.query(target.expr) for target in panel.targets)
        return all(any(math.isfinite(value) for one in found for _, value in one.points) for found in answers)

    waited = [panel for name in NAMES for panel in panels(name, __rate_interval="60s", **CHOSEN[name])]
    waited = [panel for panel in waited if panel.title not in QUIET]
    give_up = time.monotonic() + DATA_S
    while waited:
        assert time.monotonic() < give_up, f"no data: {[panel.title for panel in waited]}"
        waited = [panel for panel in waited if not (prometheus.is_ready() and is_answered(panel))]
        time.sleep(1)


def test_the_page_leads_from_a_bare_machine_to_dashboards_with_data_and_to_another_version_and_back(bare: Bare) -> None:
    clock = Clock(bare)
    before, *_ = PAGE.split("## With containers")
    clock.step("a checkout", code(before, 4).replace("ADDRESS", "/mnt/checkout"), folder="/root")
    done = steps()
    assert sorted(done) == list(range(1, GRAFANA + 1))
    for number in range(1, GRAFANA):
        said = clock.step(f"step {number}", done[number])
        if number == 5:
            assert "line1/cookie" in said
    prometheus = Prometheus(f"{LOOPBACK}:9090")
    wait_for_data(prometheus)
    clock.tell("every panel of every dashboard has data")

    said = clock.step("first look", code(section("First look"), 4))
    assert "Active: active (running)" in said
    assert "\nok\n" in said
    assert "inspector_ready 1.0" in said
    assert not [alert for alert in prometheus.alerts() if alert["state"] == "firing"]

    install = next(line for line in done[1].splitlines() if "pip install" in line).split("pip install", 1)[1]
    upgrade = code(section("Upgrade"), 4)
    assert "pip install …" in upgrade
    clock.step("upgrade", upgrade.replace("pip install …", f"pip install{install}"))
    assert "/opt/line-inspector-0.2.0/" in bare.run("systemctl status inspector").stdout
    clock.step("rollback", code(section("Rollback"), 4))
    assert "/opt/line-inspector-0.1.0/" in bare.run("systemctl status inspector").stdout
