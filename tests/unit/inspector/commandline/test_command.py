"""A whole command line: what was given and nothing else, help in sections, and what wrong usage is told."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from inspector.commandline.command import Command, Given, parse_command
from inspector.commandline.option import Argument


class Shared(BaseModel):
    title: ClassVar[str] = "shared"

    device: str = Field("cpu", description="where it runs")


class Make(Shared):
    """Make something, 100 % of it.

    A second paragraph is in the help of the command alone, wrapped to the width
    of the terminal and 100 % as it is written.
    """

    source: Annotated[Path, Argument("100%", is_positional=True)] = Field(description="what of")
    files: Annotated[list[Path], Argument("FILE", is_positional=True)] = Field(description="and these")
    out: Path = Field(description="where to")
    images: tuple[Path, ...] = Field((), description="again and again")
    size: int | None = Field(None, description="how large")
    is_quiet: bool = Field(False, validation_alias="quiet", description="say nothing")


class Again(Shared):
    title: ClassVar[str] = "own"

    name: str = Field("n", description="of its own")


class Late(Again):
    title: ClassVar[str] = "shared"

    threads: int = Field(1, description="how many")


class Broker(BaseModel):
    """Who carries 100 % of it, and where to when the line of all is wrapped too."""

    group_id: str = Field("line", description="of all")


class Settings(BaseModel):
    broker: Broker = Field(default_factory=Broker)
    models: dict[str, Path] = Field(default_factory=dict)
    cameras: tuple[Broker, ...] = ()


class Serve(BaseModel):
    """Serve it."""

    config: Path | None = Field(None, description="file")


def parse(*arguments: str, **options: Any) -> Given:
    more = options.pop("more", lambda: Settings)
    commands = {"make": Command(Make, **options), "serve": Command(Serve, more=more, is_kebab=False, can_negate=True)}
    return parse_command("tool", "A tool.", commands, arguments)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, **options: Any) -> str:
    with pytest.raises(SystemExit) as left:
        parse(*arguments, **options)
    assert left.value.code == 0
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        parse(*arguments)
    assert left.value.code == 2
    return capsys.readouterr().err


def test_nothing_but_what_was_given_comes_back_as_text() -> None:
    given = parse("make", "s", "a", "b,c", "--out", "o", "--images", "i,j", "--images=[k]", "--size", "007", "--quiet")
    assert given.command == "make"
    assert given.values == {
        "source": "s",
        "files": ["a", "b,c"],
        "out": "o",
        "images": ["i,j", "[k]"],
        "size": "007",
        "quiet": True,
    }
    assert parse("make", "s", "a", "--out", "o").values == {"source": "s", "files": ["a"], "out": "o"}


def test_nested_settings_are_a_tree() -> None:
    given = parse("serve", "--broker.group_id", "g", "--models", "m=/a", "--models", '{"n": "b"}', "--config", "f")
    assert given.values == {"config": "f", "broker": {"group_id": "g"}, "models": {"m": "/a", "n": "b"}}
    assert parse("serve", "--cameras", '{"group_id": "a"}', "--cameras", '[{"group_id": "b"}]').values == {
        "cameras": [{"group_id": "a"}, {"group_id": "b"}]
    }


@pytest.mark.parametrize("name", ["a,b", "[x]", "{1}", "12", "-5", "null", "None", " a", "a\\b", '"q"', "-"])
def test_names_are_taken_as_they_are(name: str) -> None:
    given = parse("make", name, name, "--out", name, "--images", name)
    assert given.values == {"source": name, "files": [name], "out": name, "images": [name]}


def test_what_stands_behind_two_dashes_is_no_option() -> None:
    assert parse("make", "--out", "o", "--", "--quiet", "-x").values["files"] == ["-x"]


def test_a_place_is_spelt_as_it_is_typed() -> None:
    given = parse("make", "s", "a", "--out", "o")
    assert [given.spelt(place) for place in (("quiet",), ("files", 0), ("images", 1), (), ("other",))] == [
        "--quiet",
        "FILE",
        "--images",
        "",
        "",
    ]
    assert parse("serve").spelt(("broker", "group_id")) == "--broker.group_id"


def test_the_program_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--help")
    assert text.startswith("usage: tool [-h] [--version] COMMAND ...\n\nA tool.\n")
    assert "    make      Make something, 100 % of it.\n    serve     Serve it.\n" in text


def test_the_version_is_that_of_the_distribution(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.fullmatch(
        r"tool \d+\.\d+\S*\n|tool \(of a checkout that is not installed\)\n", shown(capsys, "--version")
    )

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert shown(capsys, "--version") == "tool (of a checkout that is not installed)\n"


def test_help_has_one_line_of_usage_wrapped_paragraphs_and_a_section_for_each_group(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = shown(capsys, "make", "--help")
    assert text.startswith(
        "usage: tool make --out PATH [options] 100% FILE ...\n\nMake something, 100 % of it.\n\nA second paragraph"
    )
    assert "command alone,\nwrapped to the width of the terminal and 100 % as it is\nwritten.\n" in text
    assert all(len(line) <= 60 for line in text.splitlines())
    places = [text.index(part) for part in ("\noptions:\n", "\n  --out PATH", "--quiet", "\nshared:\n  --device TEXT")]
    assert places == sorted(places)
    assert (
        "carries 100 % of it, and where to when the line of\n  all is wrapped too.\n\n  --broker.group_id TEXT"
        in shown(capsys, "serve", "--help")
    )


def test_a_group_is_one_section_wherever_its_options_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_command("tool", "", {"late": Command(Late)}, ["late", "--help"])
    shared = "\nshared:\n  --device TEXT  where it runs (default: cpu)\n  --threads N    how many (default: 1)\n"
    text = capsys.readouterr().out
    assert shared in text
    assert text.index(shared) < text.index("\nown:\n  --name TEXT")


def test_flags_have_their_contrary_only_where_it_is_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--no-quiet" not in shown(capsys, "make", "--help")
    assert "--quiet, --no-quiet" in shown(capsys, "make", "--help", can_negate=True)
    assert parse("make", "s", "f", "--out", "o", "--no-quiet", can_negate=True).values["quiet"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["mak"], "invalid choice: 'mak'"),
        (["make", "--sise"], "usage: tool make --out PATH [options] 100% FILE ...\ntool make: error:"),
        (["make", "s", "--out", "o"], "the following arguments are required: FILE"),
        (["make", "s", "f", "--out", "o", "--ou", "p"], "unrecognized arguments: --ou p; did you mean --out?"),
        (["make", "s", "f", "--out", "o", "--sice=3"], "unrecognized arguments: --sice=3; did you mean --size?"),
        (["serve", "zzz"], "tool serve: error: unrecognized arguments: zzz\n"),
        (["serve", "--models", "m"], "'m' is neither NAME=VALUE nor a JSON object"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refusal(capsys, *arguments)


def test_options_that_take_long_to_load_are_loaded_for_their_command_only(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> type[BaseModel]:
        pytest.fail("was loaded")

    parse("make", "s", "f", "--out", "o", more=fail)
    shown(capsys, "--help", more=fail)


class Anywhere(BaseModel):
    """Go."""

    folder: Annotated[Path | None, Argument("DIR", is_positional=True)] = Field(None, description="where")


def test_what_has_a_place_and_a_default_may_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {"go": Command(Anywhere)}
    assert parse_command("program", "about", commands, ["go"]).values == {}
    assert parse_command("program", "about", commands, ["go", "here"]).values == {"folder": "here"}
    with pytest.raises(SystemExit):
        parse_command("program", "about", commands, ["go", "--help"])
    assert "[options] [DIR]" in capsys.readouterr().out
