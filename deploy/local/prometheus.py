"""Where Prometheus' programs are on this machine: `PROMETHEUS_HOME`, a folder that holds them, else the PATH."""

from __future__ import annotations

import os
import shutil

PROMETHEUS_HOME = "PROMETHEUS_HOME"


class PrometheusMissingError(Exception):
    """A program of Prometheus is not here; the message says where it was looked for."""


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
