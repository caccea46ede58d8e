from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets import by_name, read, refused
from tests.pictures import picture
from trainer.errors import DatasetError
from trainer.labels.patterns import LabelPattern


def labels(pattern: str, *names: str) -> list[str]:
    paths = [PurePosixPath(name) for name in names]
    found = LabelPattern(pattern).labels(paths)
    return [found[path] for path in paths]


def refusal(pattern: str, *names: str) -> str:
    with pytest.raises(DatasetError) as caught:
        labels(pattern, *names)
    return str(caught.value)


def test_the_captured_word_is_the_label() -> None:
    assert labels("_(OK|NOK)", "part_OK.png", "part_nok.png", "Nokia_ok_3.png") == ["ok", "nok", "ok"]
    assert labels("(gut|schlecht)/", "gut/1.png", "schlecht/1.png") == ["ok", "nok"]


def test_other_words_are_said_by_named_groups() -> None:
    assert labels("_(?P<ok>A)|_(?P<nok>B|C)", "1_A.png", "1_B.png", "1_c.png") == ["ok", "nok", "nok"]
    assert labels("(?P<ok>_0_)", "1_0_.png", "1_1_.png") == ["ok", "nok"], "what does not say ok is nok"


@pytest.mark.parametrize("name", ["part_NOK.png", "token.png", "partnOK.png", "不ok.png"])
def test_only_whole_words_are_found(name: str) -> None:
    assert "finds no label in 1 names" in refusal("(OK)", name)
    assert labels("(?P<ok>OK)", name) == ["nok"]


def test_a_word_after_a_small_letter_is_whole() -> None:
    assert labels("(OK|NOK)", "PartOK.png", "PartNOK.png") == ["ok", "nok"]


@pytest.mark.parametrize(
    ("pattern", "names", "words"),
    [
        ("_(OK", ["a.png"], "is not a regular expression"),
        ("_OK", ["a.png"], "captures nothing; put the words of the label into parentheses"),
        ("(?P<good>a)", ["a.png"], "names a group good; name them ok and nok"),
        ("(?P<nok>NOK)", ["a.png"], "says what is nok but not what is ok; add (?P<ok>...)"),
        ("_(OK|NOK)", ["a_OK.png", "b.png"], "finds no label in 1 names: b.png; make it wider"),
        ("_(OK|NOK)", ["ok_OK_NOK.png"], "in ok_OK_NOK.png; make it narrower"),
        ("_(A|B)", ["1_A.png"], "captures 'A' in 1_A.png, which is no known word for ok or nok; name the groups"),
    ],
)
def test_what_is_refused(pattern: str, names: list[str], words: str) -> None:
    assert words in refusal(pattern, *names)


@given(st.text(alphabet="abNOK_-. 01/", max_size=12))
def test_what_holds_nok_as_a_word_is_never_ok(text: str) -> None:
    name = PurePosixPath(f"{text}_NOK_.png")
    try:
        assert LabelPattern("(OK|NOK)").labels([name]) == {name: "nok"}
    except DatasetError as error:
        assert "for ok and for nok" in str(error)  # noqa: PT017 - either will do


def test_names_label_a_folder_and_the_note_says_how_many(tmp_path: Path) -> None:
    for name in ("part1_OK.png", "part2_OK.png", "part3_NOK.png"):
        picture(tmp_path / "set" / name)
    dataset = read(tmp_path / "set", label_pattern="_(OK|NOK)")
    assert by_name(dataset) == {
        "part1_OK.png": ("ok", None, None),
        "part2_OK.png": ("ok", None, None),
        "part3_NOK.png": ("nok", None, None),
    }
    assert any("2 images in" in note and "are ok by label_pattern" in note for note in dataset.notes)
    assert any("1 image in" in note and "is nok by label_pattern" in note for note in dataset.notes)


def test_folders_still_say_the_split(tmp_path: Path) -> None:
    for name in ("train/a_OK.png", "test/monday/b_OK.png", "test/c_NOK.png", "other/d_OK.png"):
        picture(tmp_path / "set" / name)
    dataset = read(tmp_path / "set", label_pattern="_(OK|NOK)")
    assert by_name(dataset) == {
        "train/a_OK.png": ("ok", "train", None),
        "test/monday/b_OK.png": ("ok", "test", None),
        "test/c_NOK.png": ("nok", "test", None),
    }
    assert any("1 image outside train/" in note for note in dataset.notes)


def test_a_pattern_that_makes_nothing_ok(tmp_path: Path) -> None:
    picture(tmp_path / "set/a_NOK.png")
    message = refused(tmp_path / "set", label_pattern="_(OK|NOK)")
    assert "label_pattern '_(OK|NOK)' matches none of the names as ok, for example a_NOK.png" in message
