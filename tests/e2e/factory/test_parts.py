from __future__ import annotations

from pathlib import Path

from inspector.clients.replay import find_images, part_id_of
from tests.e2e.factory.line import ALIENS
from tests.e2e.factory.parts import kind_of, write_belt


def test_a_belt_shows_the_parts_that_its_names_tell_and_no_picture_twice(tmp_path: Path) -> None:
    write_belt(ALIENS, tmp_path / "belt", parts=20, nok_share=0.25, seed=1)
    files = find_images(tmp_path / "belt", max_bytes=1 << 20)
    kinds = [kind_of(part_id_of(file, tmp_path / "belt", seq)) for seq, file in enumerate(files, start=400_000)]
    assert (kinds.count("nok"), kinds.count("ok")) == (5, 15)
    assert kinds != sorted(kinds, key=str), "good and bad parts come mixed"
    assert len({file.read_bytes() for file in files}) == 20


def test_a_seed_decides_all_of_a_belt(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        write_belt(ALIENS, tmp_path / name, parts=6, nok_share=0.5, seed=seed)
    one, same, other = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "same", "other")
    )
    assert one == same
    assert one != other


def test_a_part_that_no_belt_has_is_of_no_kind() -> None:
    assert kind_of("0012_nok-77") == "nok"
    assert kind_of("garbled-3") is None
    assert kind_of("0012_nok") is None
