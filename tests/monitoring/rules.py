"""The rules with short windows, so that a test sees in seconds what a plant sees in minutes to days.

The expressions stay as they are but for the lengths of time in them: each is replaced by that of the table, which keeps their order.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules"

PACE_S = int(os.environ.get("MONITORING_PACE_S", "1"))
"""Seconds from scrape to scrape, within which a process has to answer; all windows grow with it. More for a machine that is busy."""
WINDOWS = {
    "1m": 6,
    "5m": 8,
    "10m": 10,
    "15m": 10,
    "30m": 12,
    "1h": 15,
    "2h": 15,
    "6h": 20,
    "1d": 20,
    "3d": 20,
    "12h": 60,
}
"""In scrapes. Six hold a rate also where some of them are missed."""
WAITS = {"1m": 1, "3m": 2, "5m": 2, "10m": 3}
"""For how many scrapes an alert is pending."""

_LENGTH = re.compile(r"(?<=\[)\d+[smhd](?=\])|(?<=offset )\d+[smhd]\b")


def all_rules() -> list[dict[str, Any]]:
    """Return every rule, as it is."""
    documents = [yaml.safe_load(path.read_text()) for path in sorted(RULES.glob("*.yml"))]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def write_shortened(folder: Path) -> None:
    """Write the rules with short windows to `folder`, which must be there."""
    for path in RULES.glob("*.yml"):
        document = yaml.safe_load(path.read_text())
        for group in document["groups"]:
            for rule in group["rules"]:
                rule["expr"] = _LENGTH.sub(lambda found: f"{WINDOWS[found[0]] * PACE_S}s", rule["expr"])
                if "for" in rule:
                    rule["for"] = f"{WAITS[rule['for']] * PACE_S}s"
        (folder / path.name).write_text(yaml.safe_dump(document, sort_keys=False))


def write_configuration(folder: Path, targets: list[str]) -> Path:
    """Write deploy's own prometheus.yml to `folder`, with short rules and these targets; return its path."""
    for name in ("rules", "targets"):
        (folder / name).mkdir()
    write_shortened(folder / "rules")
    document = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    document["global"] |= {"scrape_interval": f"{PACE_S}s", "evaluation_interval": f"{PACE_S}s"}
    # Names that only a container's network knows.
    document["scrape_configs"] = [job for job in document["scrape_configs"] if job["job_name"] == "inspector"]
    for part in (*document["scrape_configs"], *document["alerting"]["alertmanagers"]):
        del part["dns_sd_configs"]
    (folder / "targets" / "inspector.yml").write_text(yaml.safe_dump([{"targets": targets}]))
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
