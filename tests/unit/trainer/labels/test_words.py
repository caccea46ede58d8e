from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.labels.words import label_of_word, said_by, speaks_of_nok

NOK = """
nok NOK n.i.O. nio not_ok NotOK no-good ng bad defects faulty_imprint NOK001 PartNOK partnOK 20240501_NOK
abnormal nicht_in_ordnung nicht_io schlecht Ausschuss mauvais défaut non_conforme malo defectuoso difetti
scarto ruim rejeitado wadliwy zły vadné zmetek slecht 不合格 不良品 缺陷 異常 불량 no_nok
"""
OK = """
ok OK Good pass passed Normal OK_2024 ok-images i.O. io in_ordnung gut Gutteile fehlerfrei ohne_Fehler bon
conforme sans_défaut bueno aprobado buoni senza_difetti bom sem_defeitos dobry dobrý bez_wad bez_vady goed 合格
良品 正常 양품 no_defects defect-free PartOK
"""


@pytest.mark.parametrize("name", OK.split())
def test_words_for_ok(name: str) -> None:
    assert said_by(name) == "ok"
    assert not speaks_of_nok(name)


@pytest.mark.parametrize("name", NOK.split())
def test_words_for_nok(name: str) -> None:
    assert said_by(name) == "nok"
    assert speaks_of_nok(name)


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "Nokia",
        "book",
        "goods",
        "stroke",
        "broken link",
        "monday",
        "2024-05-01",
        "0bad12",
        "3f2ng9",
        "",
        "bonded",
        "No_3",
    ],
)
def test_names_that_only_look_like_it_say_nothing(name: str) -> None:
    assert said_by(name) is None
    assert not speaks_of_nok(name)


def test_a_digest_is_no_word() -> None:
    assert said_by("3e1fb6ad-bad1-4ac2-9a6b-0bad0bad0bad") is None


@pytest.mark.parametrize("name", ["Nokia_ok", "ok_scratch", "ok and nok", "good bad"])
def test_ok_beside_other_words_is_in_doubt(name: str) -> None:
    assert said_by(name) == "doubt"
    assert label_of_word(name) is None


@pytest.mark.parametrize("word", ["défaut", "dobrý", "良品", "불량", "não conforme"])
def test_the_form_that_a_file_system_keeps_does_not_matter(word: str) -> None:
    forms = [unicodedata.normalize(form, word.upper()) for form in ("NFC", "NFD")]
    assert len({label_of_word(form) for form in forms}) == 1
    assert label_of_word(forms[0]) in {"ok", "nok"}


@given(st.text())
def test_any_name_can_be_looked_at(name: str) -> None:
    assert said_by(name) in {"ok", "nok", "doubt", None}


@given(st.sampled_from(["nok", "NG", "n.i.O.", "bad", "不良"]), st.text(alphabet="abc_- 01", max_size=6))
def test_a_word_for_nok_with_anything_apart_is_never_ok(word: str, other: str) -> None:
    assert said_by(f"{other}_{word}") != "ok"
    assert said_by(f"{word}_{other}") != "ok"
