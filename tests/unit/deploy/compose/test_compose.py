"""compose.yaml: valid by the compose specification, and what it mounts, starts and waits for is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from deploy.images.build import IMAGES, version
from deploy.local.broker import CHECKOUT
from inspector.cli import parse_arguments
from inspector.settings.file import load_settings

FOLDER = CHECKOUT / "deploy" / "compose"
FILE = FOLDER / "compose.yaml"
TAKEN = {3000, 9090, 9093, 9094, 9300}
"""Ports of Grafana, Prometheus, Alertmanager (two, the second as soon as Debian's package is installed) and of the inspector."""
OURS = {f"{name}:{version()}-cpu" for name in IMAGES.values()}

Service = dict[str, Any]


def services() -> dict[str, Service]:
    found: dict[str, Service] = yaml.safe_load(FILE.read_text())["services"]
    return found


def mounts(service: Service) -> dict[str, str]:
    """What lies where in a container."""
    return {target: source for source, target in (volume.split(":")[:2] for volume in service.get("volumes", []))}


@pytest.mark.parametrize(
    "harm", [None, ("restart: on-failure", "restarts: on-failure"), ("cap_drop: [", "cap_drop: [3, ")]
)
def test_the_specification_of_compose_takes_it_and_would_find_a_mistake(
    harm: tuple[str, str] | None, tmp_path: Path
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(FILE.read_text().replace(*harm) if harm else FILE.read_text())
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.compose-spec", str(file)])
    assert (done.exit_code == 0) is (harm is None), done.output


def test_everything_that_is_mounted_is_there_and_no_more_than_read() -> None:
    volumes = yaml.safe_load(FILE.read_text())["volumes"]
    for name, service in services().items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                assert (FOLDER / source).exists(), f"{name}: {source}"
                assert rest.endswith(":ro"), f"{name} may write {source}"
            else:
                assert source in volumes


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_have_versions_and_ours_are_closed() -> None:
    seen = set()
    for name, service in services().items():
        image, _, tag = service["image"].rpartition(":")
        assert image, f"{name} has no version"
        assert tag != "latest"
        if not image.startswith("docker.io/"):
            seen.add(service["image"])
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            build = service["build"]
            assert (FOLDER / build["context"]).resolve() == CHECKOUT
            assert (CHECKOUT / build["dockerfile"]).is_file()
            assert IMAGES[build["args"]["IMAGE"]] == image, "built as what it is called"
    assert seen == OURS


def test_commands_are_ones_that_the_program_has_and_files_lie_where_they_look() -> None:
    found = services()
    settings = load_settings(FOLDER / "inspector.toml")
    for name in ("topics", "inspector", "camera"):
        given = parse_arguments(found[name]["command"])
        there = mounts(found[name])
        assert str(given.values["config"]) in there
        if name == "camera":
            assert str(given.values["folder"]) in there
            assert given.values["camera"] in {camera.key for camera in settings.cameras}
    (bundle,) = tomllib.loads((FOLDER / "inspector.toml").read_text())["models"].values()
    assert f"--out {bundle} " in found["model"]["command"][0]
    assert mounts(found["model"])["/models"] == mounts(found["inspector"])["/models"]


def test_services_are_called_what_the_files_call_them() -> None:
    found = services()
    settings = load_settings(FOLDER / "inspector.toml")
    host, port = settings.kafka.bootstrap_servers.split(":")
    broker = (FOLDER / "kafka.properties").read_text()
    assert host in found
    assert f"advertised.listeners=LINE://{host}:{port}," in broker
    assert f"{host}:{port}" in found["kafka"]["healthcheck"]["test"]
    scraped = yaml.safe_load((CHECKOUT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in scraped["scrape_configs"]}
    (names,) = jobs["inspector"]["dns_sd_configs"]
    assert set(names["names"]) <= set(found)
    assert names["port"] == settings.http.port
    assert found["grafana"]["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
    assert found["grafana"]["environment"]["DASHBOARDS_FOLDER"] in mounts(found["grafana"])


def test_kafka_takes_no_port_of_what_may_run_beside_it_on_a_plain_machine() -> None:
    properties = dict(
        line.split("=", 1)
        for line in (FOLDER / "kafka.properties").read_text().splitlines()
        if line[:1] not in ("", "#")
    )
    ports = [int(port) for port in re.findall(r":(\d+)", properties["listeners"])]
    assert len(set(ports)) == len(ports) == 3
    assert not TAKEN & set(ports)
    assert properties["controller.quorum.bootstrap.servers"] in properties["listeners"]
