"""The sources of the site: pages, what is generated in them, and the files that they link to."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.site.sources import write_sources
from inspector.settings.settings import CameraSettings, Settings
from schemas.generate import MESSAGES


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "docs/runbook").mkdir(parents=True)
    (root / "results").mkdir()
    (root / "docs/index.md").write_text("# Start\n\n[README](README.md)\n".replace("(README", "(../README"))
    (root / "docs/settings.md").write_text("# Settings\n\n<!-- generated: settings -->\n")
    messages = "".join(f"## {one.__name__}\n\n<!-- generated: {one.__name__} -->\n\n" for one in MESSAGES)
    (root / "docs/messages.md").write_text(f"# Messages\n\n{messages}")
    (root / "docs/runbook/index.md").write_text("# Runbook\n")
    (root / "docs/runbook/broker.md").write_text("# Broker\n")
    (root / "README.md").write_text("# Read me\n\n[figures](results/a.json), [all](results)\n")
    (root / "results/a.json").write_text("{}")
    return root


def test_pages_linked_files_and_folders_are_there(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_sources(repository, out)
    assert (out / "index.md").read_text().startswith("# Start\n\n[README](repository/README.md)\n```{toctree}")
    assert (out / "runbook/index.md").read_text().endswith(":hidden:\n\n/runbook/broker\n```\n")
    readme = (out / "repository/README.md").read_text()
    assert readme == "---\norphan: true\n---\n# Read me\n\n[figures](results/a.json), [all](results/index.md)\n"
    assert (out / "repository/results/a.json").read_text() == "{}"
    assert "- [a.json](a.json)" in (out / "repository/results/index.md").read_text()


def test_every_setting_and_every_field_of_a_message_has_a_row(repository: Path, tmp_path: Path) -> None:
    write_sources(repository, tmp_path / "out")
    settings = (tmp_path / "out/settings.md").read_text()
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        assert all(f"| `{one}` |" in settings for one in inner or ([] if name in {"models", "cameras"} else [name]))
    assert all(f"| `{name}` |" in settings for name in CameraSettings.model_fields)
    messages = (tmp_path / "out/messages.md").read_text()
    for message in MESSAGES:
        section = messages.split(f"## {message.__name__}\n", 1)[1].split("\n## ", 1)[0]
        assert all(f"| `{name}` |" in section for name in message.model_fields)


def test_a_link_to_nothing_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "docs/gate.md").write_text("[gone](../gone.md)")
    with pytest.raises(FileNotFoundError, match=r"docs/gate\.md links to gone\.md, which is not there"):
        write_sources(repository, tmp_path / "out")


def test_what_nobody_generates_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "docs/gate.md").write_text("<!-- generated: riddles -->")
    with pytest.raises(KeyError, match="riddles"):
        write_sources(repository, tmp_path / "out")


def test_the_page_of_messages_has_them_all() -> None:
    page = (Path(__file__).parents[4] / "docs/messages.md").read_text(encoding="utf-8")
    assert [f"\n<!-- generated: {message.__name__} -->\n" in page for message in MESSAGES] == [True] * len(MESSAGES)
