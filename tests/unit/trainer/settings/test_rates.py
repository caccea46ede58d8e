from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import SettingsError
from trainer.settings.commands import parse_settings
from trainer.settings.fit import FitSettings
from trainer.settings.rates import read_percent, read_share
from trainer.settings.syntax import parse_augmentation, parse_score_rule

FIT = ["fit", "--images", "a", "--out", "o"]


def fit(*options: str) -> FitSettings:
    settings = parse_settings([*FIT, *options])
    assert isinstance(settings, FitSettings)
    return settings


def refusal(*options: str) -> str:
    with pytest.raises(SettingsError) as caught:
        fit(*options)
    return str(caught.value)


@pytest.mark.parametrize("text", ["0.05", "5%", "5 %", "0,05", " 5.0% ", "5e-2"])
def test_every_share_takes_both_ways_of_writing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit("--false-rejects", text).false_rejects == pytest.approx(0.05)
    assert fit("--max-false-rejects", text, "--confidence", "90%").max_false_rejects == pytest.approx(0.05)
    assert fit("--detector", "patchcore", "--domain-ratio", text).domain_ratio == pytest.approx(0.05)
    assert parse_score_rule(f"top-k:{text}")[1] == pytest.approx(0.05)
    assert parse_augmentation(f"brightness={text}" if "," not in text else "brightness=5%").brightness == pytest.approx(
        0.05
    )
    monkeypatch.setenv("TRAINER_FIT__FALSE_REJECTS", text)
    assert fit().false_rejects == pytest.approx(0.05)


@pytest.mark.parametrize("text", ["60", "60%", "60 %", "60,0"])
def test_percent_takes_its_sign_or_none(text: str) -> None:
    assert fit("--training-percent", text).training_percent == 60
    assert fit("--validation-percent", text).validation_percent == 60


def test_what_may_be_meant_otherwise_is_refused() -> None:
    assert "--false-rejects: a share lies between 0 and 1; write 5% if that is percent, or 0.05, got '5'" in refusal(
        "--false-rejects", "5"
    )
    assert (
        "--training-percent: this option is in percent; write 80% if 0.8 is a share, or 0.8% if it is percent"
        in refusal("--training-percent", "0.8")
    )
    assert fit("--training-percent", "0.8%").training_percent == 0.8


@pytest.mark.parametrize("text", ["", "%", "many", "nan", "inf%", "5%%", "5 percent"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"a rate is a share such as 0\.05, or percent such as 5%"):
        read_share(text)
    with pytest.raises(ValueError, match=r"a rate is a share such as 0\.05, or percent such as 5%"):
        read_percent(text)


def test_the_bounds_hold_in_percent_too() -> None:
    assert "less than 1" in refusal("--false-rejects", "100%")
    assert "greater than 0" in refusal("--false-rejects", "0%")
    assert "less than or equal to 100" in refusal("--training-percent", "101%")


@given(st.floats(0, 1))
def test_a_share_and_its_percent_are_one(share: float) -> None:
    assert read_share(f"{share!r}") == share
    assert read_share(f"{share * 100!r}%") == pytest.approx(share)
