"""The table of roles: what it says as commands, as grants and as the page of the docs."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from inspector import cli
from inspector.clients.acls import ROLES, acls_of, commands, principals, table
from inspector.settings.settings import Settings

PAGE = Path(__file__).parents[4] / "docs" / "access.md"
PER_CAMERA = {
    "topics": {"results": "{prefix}.results.{camera_id}"},
    "models": {"m": "m"},
    "cameras": [{"line_id": "l", "camera_id": name, "model": "m"} for name in ("a", "b")],
}


def test_the_page_has_the_table_as_it_is() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), (
        "run: python -c 'from inspector.clients.acls import table; print(table())'"
    )


def test_every_right_is_granted_once_by_command_and_by_request() -> None:
    settings = Settings.model_validate(PER_CAMERA)
    acls = acls_of(settings, principals({}))
    assert len(set(acls)) == len(acls)
    told = {
        (words[words.index("--allow-principal") + 1], operation, words[-2].removeprefix("--"), words[-1])
        for words in map(shlex.split, commands(settings, acls))
        for flag, operation in pairwise(words)
        if flag == "--operation" and words[-1] != "--cluster"
    }
    assert told == {tuple(acl) for acl in acls if acl.resource_type != "cluster"}
    cluster = [line for line in commands(settings, acls) if line.endswith(" --cluster")]
    assert len(cluster) == 1
    assert "User:admin --operation Alter" in cluster[0]


def test_results_topics_of_each_camera_are_all_named() -> None:
    settings = Settings.model_validate(PER_CAMERA)
    names = [acl.name for acl in acls_of(settings, {"gate": "User:gate"})]
    assert len(names) == 3, "no heartbeats where nobody sends any"
    beating = settings.model_copy(update={"heartbeat": settings.heartbeat.model_copy(update={"interval_ms": 500})})
    assert acls_of(beating, {"gate": "User:gate"})[-1].name == "inspection.heartbeats"
    assert names == ["inspection.results.a", "inspection.results.b", "inspection.results.unknown"]


def test_only_inspectors_write_results_and_only_cameras_write_frames() -> None:
    writers = {
        (role, right.resource) for role, rights in ROLES.items() for right in rights if "Write" in right.operations
    }
    assert writers == {
        ("camera", "frames"),
        ("inspector", "results"),
        ("inspector", "deadletters"),
        ("inspector", "heartbeats"),
        ("inspector", "audit"),
        ("inspector", "shadow"),
        ("trainer", "models"),
        ("trainer", "audit"),
    }


def test_only_the_trainer_says_which_model_judges() -> None:
    releases = {"store": "file:///srv/models/", "cache": "cache"}
    settings = Settings.model_validate(PER_CAMERA | {"releases": releases})
    acls = acls_of(settings, principals({}))
    on_models = {(acl.principal, acl.operation) for acl in acls if acl.name == "inspection.models"}
    assert on_models >= {("User:trainer", "Write"), ("User:trainer", "Read"), ("User:inspector", "Read")}
    assert {who for who, operation in on_models if operation == "Write"} == {"User:trainer"}
    written = {acl.name for acl in acls if (acl.principal, acl.operation) == ("User:trainer", "Write")}
    assert written == {"inspection.models", "inspection.audit"}


def test_what_models_on_trial_say_is_written_by_inspectors_and_no_actuator_or_archive_reads_it() -> None:
    readers = {role for role, rights in ROLES.items() for right in rights if right.resource == "shadow"}
    assert readers == {"inspector", "dashboard", "trainer", "admin"}


def test_a_strange_user_is_quoted_and_only_named_roles_are_granted(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["topics", "acls", "--principal", '{"gate": "CN=gate; rm -rf /,O=plant"}']) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert shlex.split(line)[7] == "User:CN=gate; rm -rf /,O=plant"
    assert line.endswith("--operation Read --topic inspection.results")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["acls", "--principal", "boss=me"], "--principal"),
        (["apply", "--principal", "gate=me"], "--principal and --grant can be used with acls only"),
        (["apply", "--grant"], "--principal and --grant can be used with acls only"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["topics", *arguments]) == cli.EXIT_USAGE
    assert told in capsys.readouterr().err
