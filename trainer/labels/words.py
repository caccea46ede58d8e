"""Which words mean ok and which nok, in the languages that people use for names. Only whole words count.

A name is split at everything except letters, between letters and digits, and between a small letter and a capital:
`OK_2024`, `PartNOK7`. `Token` and `Nokia` contain none of these words. Case, accents and the way in which a file system stores them do not
matter. A word such as `no` or `ohne` negates the next one: `not good` is nok, `no defects` and `ohne Fehler` are ok.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal

from inspector.anomaly.choices import AnomalyClass

_OK_WORDS: Final = """
ok okay good pass passed normal accept accepted intact undamaged flawless faultless nodefect nodefects nondefective
io gut gute guter gutes gutteil gutteile fehlerfrei bestanden
bon bonne bons bonnes conforme conformes conformi accepte acceptes
bueno buena buenos buenas correcto correcta correctos aprobado aprobada aprobados aceptado
buono buona buoni buone accettato
bom boa boas aprovado aprovada aprovados
dobry dobra dobre dobrze zgodny zgodne vyhovujici shodny bezvadny
goed goede goedgekeurd godkand iyi saglam
годен годный годные норма
合格 合格品 良品 良 好 好品 正常 正常品 양품 정상 합격
"""
_NOK_WORDS: Final = """
nok notok nonok ng nogood notgood bad defect defects defective faulty fault faults reject rejects rejected scrap anomaly anomalies
anomalous abnormal fail fails failed failure failures damaged nonconforming nonconform
nio schlecht schlechte schlechter schlechtes schlechtteil schlechtteile ausschuss fehler fehlerhaft fehlerhafte defekt defekte
mangelhaft anomalie anomalien
mauvais mauvaise mauvaises defaut defauts defectueux defectueuse rebut rebuts nonconforme nonconformes anormal
malo mala malos malas defecto defectos defectuoso defectuosa defectuosos rechazado rechazada rechazados rechazo
difetto difetti difettoso difettosa difettosi scarto scarti
ruim ruins defeito defeitos defeituoso defeituosa rejeitado rejeitada rejeitados refugo reprovado reprovada reprovados
zly zla zle wada wady wad wadliwy wadliwe wadliwa niezgodny niezgodne braki
spatny spatna spatne vadny vadna vadne vada vady vad zmetek zmetky nevyhovujici neshodny
slecht fout afgekeurd underkand hatali kusurlu
брак дефект дефекты
不合格 不合格品 不良 不良品 次品 废品 缺陷 异常 坏 坏品 欠陥 欠陥品 異常 불량 불량품 결함 비정상
"""
_NEGATIONS: Final = """
no not non nicht kein keine keinen ohne without sin sans senza sem pas bez nie ne nao не без
"""
_VERDICTS_OF_THE_LINE: Final = frozenset({"nok", "nio", "ng", "notok", "nonok"})
"""Turned round these would be ok, and a defect could be learnt: `no nok` stays nok."""
_FILLERS: Final = """
image images img imgs picture pictures pic pics photo photos bild bilder imagen imagenes immagini imagens part parts piece pieces
teil teile sample samples product products item items data train training test val validation cam camera kamera line linie
station and und only
"""
"""Words that change nothing: `ok images` is as `ok`."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RUN: Final = re.compile(r"[^\W_]+")
_LETTERS: Final = re.compile(r"(?:\d*([^\W\d_]+)|([^\W\d_]+)\d*)")
_DOTTED: Final = (
    (re.compile(r"\bn\.\s?i\.\s?o\b", re.IGNORECASE), " nio "),
    (re.compile(r"\bi\.\s?o\b", re.IGNORECASE), " io "),
)
_PHRASES: Final = (
    (re.compile(r"\bin[ _-]ordnung\b", re.IGNORECASE), " io "),
    (re.compile(r"\b(defect|fault|error)s?[ _-]free\b", re.IGNORECASE), " ok "),
)
CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Where a small letter meets a capital."""

Word = Literal["ok", "nok", "other"]
Said = Literal["ok", "nok", "doubt"]
"""What a name says; `doubt`: words for both, or one for ok among words that may be a defect's."""


def comparable(name: str) -> str:
    """The name as it is compared: small letters without accents, the same however a file system keeps them."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if unicodedata.category(c) != "Mn")
    return plain.casefold().replace("ł", "l")


@cache
def _words_of(text: str) -> frozenset[str]:
    return frozenset(comparable(word) for word in text.split())


@cache
def _vocabulary() -> dict[str, AnomalyClass]:
    ok: dict[str, AnomalyClass] = dict.fromkeys(_words_of(_OK_WORDS), "ok")
    return ok | dict.fromkeys(_words_of(_NOK_WORDS), "nok")


def label_of_word(text: str) -> AnomalyClass | None:
    """The label that a text stands for which is nothing but a label: `OK`, `not ok`, `n.i.O.`, `Gutteile`; None where it is none."""
    said = said_by(text)
    return None if said == "doubt" else said


def said_by(name: str) -> Said | None:
    """What a name says of the images that bear it, or lie in it; None where it says nothing."""
    words = list(_words(name))
    if "nok" in words:
        return "doubt" if "ok" in words else "nok"
    if "ok" not in words:
        return None
    return "doubt" if "other" in words else "ok"


def speaks_of_nok(name: str) -> bool:
    """Whether one of the name's words is for nok, whatever the others say."""
    return "nok" in _words(name)


def _words(name: str) -> Iterator[Word]:
    """What each of the name's words says; fillers and numbers left out."""
    known = _vocabulary()
    is_negated = False
    for token in _tokens(name):
        verdict = known.get(token)
        if verdict is None:
            if is_negated:
                yield "other"
            is_negated = token in _words_of(_NEGATIONS)
            if not is_negated and token not in _words_of(_FILLERS):
                yield "other"
            continue
        if is_negated and token not in _VERDICTS_OF_THE_LINE:
            verdict = "nok" if verdict == "ok" else "ok"
        is_negated = False
        yield verdict
    if is_negated:
        yield "other"


def _tokens(name: str) -> Iterator[str]:
    """The words of a name, comparable."""
    text = _UUID.sub(" ", unicodedata.normalize("NFC", name))
    for pattern, meaning in (*_DOTTED, *_PHRASES):
        text = pattern.sub(meaning, text.replace("_", " "))
    for run in _RUN.findall(text):
        if comparable(run) in _vocabulary():
            yield comparable(run)
            continue
        match = _LETTERS.fullmatch(run)
        if match is None:  # a number, or letters and digits mixed, as in a digest: no word
            continue
        yield from _parted(match[1] or match[2])


def _parted(letters: str) -> Iterator[str]:
    """`PartNOK` is two words. `partnOK` may be `part` and `nOK`: it is taken for nok, which is never learnt as ok."""
    if comparable(letters) in _vocabulary():
        yield comparable(letters)
        return
    pieces = CAMEL.split(letters)
    for before, piece in zip(["", *pieces], pieces, strict=False):
        may_be_nok = before.endswith("n") and piece in {"OK", "IO"}
        yield "nok" if may_be_nok else comparable(piece)
