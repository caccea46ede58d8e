"""The kept corpus goes through every target in seconds, and Hypothesis beside it: cut, spliced and changed inputs, the same in CI each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.fuzz import CORPUS
from tests.fuzz.targets import TARGETS

INPUTS = {name: sorted((CORPUS / name).iterdir()) for name in TARGETS}
MOST_BYTES = 16 * 1024


def test_every_target_has_a_corpus_that_is_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()
    assert all(len(paths) >= 2 for paths in INPUTS.values())
    assert sum(path.stat().st_size for paths in INPUTS.values() for path in paths) < 1 << 20


@pytest.mark.parametrize(
    "path", [path for paths in INPUTS.values() for path in paths], ids=lambda path: str(path.relative_to(CORPUS))
)
def test_a_kept_input_is_read_or_refused_as_documented(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@st.composite
def changed(draw: st.DrawFn, name: str) -> bytes:
    """A kept input with bytes changed, cut out, put in or taken from another."""
    contents = [path.read_bytes()[:MOST_BYTES] for path in INPUTS[name]]
    data = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["flip", "cut", "put", "splice", "end"]))
        if how == "flip" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "put":
            data[at:at] = draw(st.binary(max_size=16))
        elif how == "splice":
            data[at:] = draw(st.sampled_from(contents))[at:]
        elif how == "end":
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_what_comes_of_a_kept_input_by_chance_is_read_or_refused_too(name: str) -> None:
    @given(st.one_of(changed(name), st.binary(max_size=200)))
    @hypothesis_settings(max_examples=25)
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()
