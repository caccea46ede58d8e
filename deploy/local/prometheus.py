"""Prometheus on this machine: where its programs are, one of our own on a free port, and what it is asked.

Its programs come from `PROMETHEUS_HOME`, a folder that holds them, else from the PATH (`apt-get install prometheus`).
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.base import LOOPBACK, BrokerProcess, free_port

PROMETHEUS_HOME = "PROMETHEUS_HOME"
START_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 30.0
_POLL_S = 0.1


class PrometheusMissingError(Exception):
    """A program of Prometheus is not here, or does not start; the message says where it was looked for, or what it said."""


def find_program(name: str) -> str:
    """Return the path of `prometheus`, `promtool` or `amtool`.

    Raises:
        PrometheusMissingError: It is neither in PROMETHEUS_HOME, where that is set, nor on the PATH, where it is not.
    """
    home = os.environ.get(PROMETHEUS_HOME)
    found = shutil.which(name, path=home or None)
    if found is None:
        place = f"{PROMETHEUS_HOME}={home}" if home else "the PATH; apt-get install prometheus, or set PROMETHEUS_HOME"
        raise PrometheusMissingError(f"no {name} in {place}")
    return found


@dataclass(frozen=True)
class Series:
    """One answer to a query over time.

    Attributes:
        labels: with `__name__` where it has a name.
        points: seconds since 1970 and values, in their order.
    """

    labels: dict[str, str]
    points: list[tuple[float, float]]


class Prometheus:
    """What a running Prometheus is asked, by HTTP. Any thread."""

    def __init__(self, address: str) -> None:
        """Take its address, `host:port`."""
        self._address = address

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=REQUEST_TIMEOUT_S):
                return True
        except OSError:
            return False

    def query(self, expr: str) -> list[Series]:
        """Return what an expression is now.

        Raises:
            ValueError: Prometheus refuses it; its words are in the message.
        """
        found = self._get("query", query=expr)["result"]
        return [Series(one["metric"], [(float(one["value"][0]), float(one["value"][1]))]) for one in found]

    def query_range(self, expr: str, *, begin_s: float, end_s: float, step_s: float) -> list[Series]:
        """Return what an expression was, from `begin_s` to `end_s` (seconds since 1970).

        Raises:
            ValueError: Prometheus refuses it; its words are in the message.
        """
        found = self._get("query_range", query=expr, start=str(begin_s), end=str(end_s), step=str(step_s))["result"]
        return [Series(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in found]

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its `health` and `lastError`."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing, with labels and filled-in annotations."""
        alerts: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return alerts

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"http://{self._address}/api/v1/{path}?" + urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_S) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except urllib.error.HTTPError as exc:
            words = exc.read().decode(errors="replace")
            raise ValueError(f"Prometheus refuses {parameters.get('query', path)!r}: {words}") from exc


@contextmanager
def running_prometheus(config: Path, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with this configuration for the duration of a block; its data and its log lie in `folder`.

    Raises:
        PrometheusMissingError: There is none, or it does not start.
    """
    address = f"{LOOPBACK}:{free_port()}"
    command = [
        find_program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    process = BrokerProcess(command, log=folder / "prometheus.log", cwd=folder)
    try:
        prometheus = Prometheus(address)
        give_up = time.monotonic() + START_TIMEOUT_S
        while not prometheus.is_ready():
            if not process.is_running or time.monotonic() > give_up:
                raise PrometheusMissingError(f"Prometheus does not start:\n{process.log_tail()}")
            time.sleep(_POLL_S)
        yield prometheus
    finally:
        process.stop()
