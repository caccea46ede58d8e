"""The site is built without a warning, a broken link ends the build, and nothing on it comes from another host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.site import __main__ as site

pytest.importorskip(
    "sphinx", reason="Sphinx is not installed: pip install -c constraints.txt -e '.[docs]', or make docs"
)


def test_the_site_is_built_and_needs_no_other_host(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert site.main(["--out", str(tmp_path / "site")]) == 0, capfd.readouterr().err
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "training.html", "settings.html", "messages.html"} <= {page.name for page in pages}
    fetched = [
        address
        for page in pages
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page.read_text("utf-8"))
        for address in re.findall(r"""(?:src|href)=["']((?:https?:)?//[^"']*)""", tag)
    ]
    fetched += [
        address
        for sheet in (tmp_path / "site").rglob("*.css")
        for address in re.findall(r"""(?:url\(|@import\s+)["']?((?:https?:)?//[^"')\s]*)""", sheet.read_text("utf-8"))
    ]
    assert fetched == []


@pytest.mark.parametrize("link", ["gate.md#no-such-heading", "#no-such-heading-here"])
def test_a_link_to_a_heading_that_is_not_there_ends_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], link: str
) -> None:
    docs = tmp_path / "repository" / "docs"
    docs.mkdir(parents=True)
    (docs / "gate.md").write_text("# Gate\n")
    (docs / "index.md").write_text(f"# Start\n\n[riddle]({link})\n")
    monkeypatch.setattr(site, "ROOT", tmp_path / "repository")
    assert site.main(["--out", str(tmp_path / "site")]) != 0
    assert "no-such-heading" in capfd.readouterr().err
