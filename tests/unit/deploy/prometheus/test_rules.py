"""Recording and alerting rules: what promtool says of them, and that each alert has what whoever it wakes needs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.prometheus import PrometheusMissingError, find_program
from tests.prometheus import required_program

ROOT = Path(__file__).parents[4]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOK = ROOT / "docs" / "runbook"
LINK = "{{ $externalLabels.runbooks }}/"


def rules(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((PROMETHEUS / "rules" / f"{name}.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts")}
RECORDED = {rule["record"] for rule in rules("recording")}
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def run(program: str, *arguments: str | Path) -> str:
    done = subprocess.run([required_program(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_reads_the_configuration_and_its_rules() -> None:
    said = run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert "2 rule files found" in said
    assert "FAILED" not in said


@pytest.mark.parametrize("file", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path) -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", file)


def test_alertmanager_reads_its_configuration() -> None:
    try:
        find_program("amtool")
    except PrometheusMissingError as exc:
        pytest.skip(str(exc))
    run("amtool", "check-config", ROOT / "deploy" / "alertmanager" / "alertmanager.yml")


def test_alertmanager_routes_and_mutes_alerts_that_exist() -> None:
    document = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    sides = [
        side for rule in document["inhibit_rules"] for side in ("source_matchers", "target_matchers") if side in rule
    ]
    assert len(sides) == 2 * len(document["inhibit_rules"])
    for rule in document["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            (pattern,) = re.findall(r'^alertname=~?"(.*)"$', matcher)
            for alternative in pattern.split("|"):
                assert any(re.fullmatch(alternative, name) for name in ALERTS), alternative
    assert [matcher for route in document["route"]["routes"] for matcher in route["matchers"]] == [
        'severity="critical"'
    ]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_all_that_whoever_it_wakes_needs(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert len(notes["summary"]) <= 160, "it has to fit a telephone's screen"
    assert notes["runbook_url"] == f"{LINK}{name}.md"
    page = (RUNBOOK / f"{name}.md").read_text()
    headings = re.findall("^#+ .*$", page, flags=re.MULTILINE)
    assert headings == [f"# {name}", "## What it means", "## First look", "## What to do"]
    assert len(re.findall(r"^\d\. ", page, flags=re.MULTILINE)) >= 2
    assert len(re.findall("^- ", page, flags=re.MULTILINE)) >= 2


def test_every_alert_has_its_page_its_reason_and_its_tests_and_there_are_no_others() -> None:
    assert {path.stem for path in RUNBOOK.glob("*.md")} == set(ALERTS)
    reasons = re.findall(
        r"^\| \[(\w+)\]\(runbook/(\w+)\.md\) \| (\w+) \| \S", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE
    )
    assert reasons == [(name, name, rule["labels"]["severity"]) for name, rule in ALERTS.items()]
    fired = {name for path in TESTS for name in re.findall(r'ALERTS{alertname="(\w+)"', path.read_text())}
    assert fired == set(ALERTS)


def test_links_of_the_runbook_lead_somewhere() -> None:
    for page in (*RUNBOOK.glob("*.md"), ROOT / "docs" / "alerts.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_rules_ask_for_metrics_and_records_that_there_are() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    there = set(re.findall(r"^\| `(\w+)`", page, flags=re.MULTILINE)) | RECORDED | {"up"}
    for rule in (*rules("recording"), *rules("alerts")):
        asked = {re.sub("_bucket$", "", name) for name in metrics_of(rule["expr"])}
        assert asked, rule
        assert asked <= there, f"{rule.get('record', rule.get('alert'))}: {asked - there}"


def metrics_of(expression: str) -> set[str]:
    """Names of series in an expression: ours, those of the process, records, and `up`."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:(?:job|instance|job_camera):[\w:]+|(?:inspector|process)_\w+|up)\b", bare))
