"""Every page is in the side bar once, also one that nobody named."""

from __future__ import annotations

import re

from deploy.site.navigation import folder_markdown, navigation_markdown

PAGES = ["index", "training", "gate", "brand-new", "runbook/index", "runbook/broker", "loose/b", "loose/a"]


def entries(markdown: str) -> list[str]:
    return re.findall(r"^[/\w-]+$", markdown.replace("```", "`"), re.MULTILINE)


def test_every_page_is_an_entry_once_and_in_the_order_of_the_sections() -> None:
    markdown = navigation_markdown(PAGES)
    assert entries(markdown) == ["training", "gate", "runbook/index", "brand-new", "loose/a", "loose/b"]
    assert re.findall(":caption: (.*)", markdown) == ["Train models", "Connect", "Operate", "More"]


def test_the_pages_of_a_folder_with_an_index_are_listed_there() -> None:
    assert entries(folder_markdown("runbook/index", PAGES)) == ["/runbook/broker"]
    assert folder_markdown("runbook/broker", PAGES) == ""
    assert folder_markdown("index", PAGES) == ""
