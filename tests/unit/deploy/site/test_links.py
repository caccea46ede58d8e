"""Links of pages, as they stand in the repository and on the site."""

from __future__ import annotations

import pytest

from deploy.site.links import rewritten, site_path, targets


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("docs/gate.md", "gate.md"),
        ("docs/runbook/index.md", "runbook/index.md"),
        ("README.md", "repository/README.md"),
        ("tests/data/README.md", "repository/tests/data/README.md"),
    ],
)
def test_pages_of_docs_are_the_site_and_all_else_lies_in_a_folder_of_its_own(path: str, expected: str) -> None:
    assert site_path(path) == expected


@pytest.mark.parametrize(
    ("path", "link", "expected"),
    [
        ("docs/gate.md", "[a](chaos.md#kills)", "[a](chaos.md#kills)"),
        ("docs/gate.md", "[a](../README.md)", "[a](repository/README.md)"),
        ("docs/gate.md", "![a](../deploy/demo/report.jpg)", "![a](repository/deploy/demo/report.jpg)"),
        ("docs/gate.md", "[a](../schemas/json)", "[a](repository/schemas/json/index.md)"),
        ("docs/decisions/gate.md", "[a](../gate.md)", "[a](../gate.md)"),
        ("ARCHITECTURE.md", "[a](docs/gate.md#states)", "[a](../gate.md#states)"),
        ("trainer/SEED.md", "[a](../README.md)", "[a](../README.md)"),
        (
            "docs/gate.md",
            "[a](https://example.com/b.md) and [c](#states)",
            "[a](https://example.com/b.md) and [c](#states)",
        ),
        ("docs/gate.md", "`[a](../b.md)`", "`[a](../b.md)`"),
        ("docs/gate.md", "```\n[a](../b.md)\n```", "```\n[a](../b.md)\n```"),
    ],
)
def test_a_link_leads_to_the_same_file_on_the_site(path: str, link: str, expected: str) -> None:
    assert rewritten(link, path, lambda target: target == "schemas/json") == expected


def test_targets_are_paths_of_the_repository() -> None:
    page = "[a](../README.md#try-it), [b](gate.md), [c](#here), [d](https://example.com), `[e](f.md)`"
    assert targets(page, "docs/index.md") == ["README.md", "docs/gate.md"]
