"""The dashboards as files: fresh, whole, and asking for what there is."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
import yaml

from deploy.grafana.documents import FOLDER, documents
from tests.monitoring.panels import filled
from tests.monitoring.shots import VARIABLES
from tests.unit.deploy.prometheus.test_rules import RECORDED, ROOT, metrics_of

DOCUMENTS = {name: json.loads(text) for name, text in documents().items()}
PROVISIONING = FOLDER.parent / "provisioning"


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in DOCUMENTS[name]["panels"] if panel["type"] != "row"]


def expressions(name: str) -> list[str]:
    return [target["expr"] for panel in panels(name) for target in panel["targets"]]


def test_the_files_are_what_the_program_writes() -> None:
    there = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert there == documents(), "run `python -m deploy.grafana`"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_panels_ask_for_metrics_and_records_that_there_are(name: str) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    there = set(re.findall(r"^\| `(\w+)`", page, flags=re.MULTILINE)) | RECORDED
    for expr in expressions(name):
        asked = {re.sub("_(bucket|sum|count)$", "", one) for one in metrics_of(expr)}
        assert asked or "ALERTS" in expr, expr
        assert asked <= there, f"{expr}: {asked - there}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_dashboard_offers_what_its_queries_depend_on(name: str) -> None:
    offered = {variable["name"] for variable in DOCUMENTS[name]["templating"]["list"]}
    assert offered == {"datasource", "job", *VARIABLES[name]}
    values = {"__rate_interval": "1m", "job": ".*", **VARIABLES[name]}
    for expr in expressions(name):
        filled(expr, values)
    used = " ".join(expressions(name))
    assert all(f"${variable}" in used for variable in VARIABLES[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_panel_says_how_to_read_it_and_lies_beside_the_others(name: str) -> None:
    assert len(panels(name)) >= 6
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel.get("fieldConfig", {}).get("defaults", {}).get("unit") or panel["type"] in {
            "heatmap",
            "table",
            "state-timeline",
        }
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)), "two queries of one name hide each other"
        assert len(letters) == 1 or all(target["legendFormat"] for target in panel["targets"])
        place = panel["gridPos"]
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not cells & taken, f"{panel['title']} covers another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_dashboards_have_addresses_of_their_own_and_show_alerts() -> None:
    assert {name: board["uid"] for name, board in DOCUMENTS.items()} == {
        name: f"inspector-{name}" for name in DOCUMENTS
    }
    for board in DOCUMENTS.values():
        assert 'ALERTS{alertstate="firing"' in board["annotations"]["list"][0]["expr"]


def test_what_the_issue_of_a_dashboard_is_stands_on_it() -> None:
    titles = {name: " ".join(panel["title"] for panel in panels(name)).lower() for name in DOCUMENTS}
    wanted = {
        "line": ("verdicts by camera", "reject rate", "on-time share", "unread"),
        "camera": ("scores against the threshold", "time by stage", "reasons"),
        "service": (
            "capacity",
            "batch sizes",
            "queue depths",
            "memory against its bound",
            "commits",
            "retries",
            "restarts",
        ),
        "models": ("what judges each camera", "versions over time"),
    }
    for name, words in wanted.items():
        assert [word for word in words if word not in titles[name]] == [], name
    (scores,) = [panel for panel in panels("camera") if panel["title"] == "Scores against the threshold"]
    assert scores["type"] == "heatmap"


def test_the_runbook_names_panels_that_there_are() -> None:
    known = {panel["title"] for board in DOCUMENTS.values() for panel in board["panels"]} | {
        "Line overview",
        "Camera",
        "Service",
        "Models",
        "Targets",
    }
    for page in (ROOT / "docs" / "runbook").glob("*.md"):
        named = set(re.findall(r"(?<![*\w])\*([A-Z][^*\n]*)\*(?![*\w])", page.read_text()))
        assert named, page.name
        assert named <= known, f"{page.name}: {named - known}"


def test_grafana_finds_its_source_and_the_dashboards() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped, "$__rate_interval follows from it"
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "inspector.yml").read_text())["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "$DASHBOARDS_FOLDER")
