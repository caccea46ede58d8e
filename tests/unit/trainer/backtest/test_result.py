from __future__ import annotations

from trainer.backtest.result import BacktestResult, Judged


def judged(name: str, recorded: str, ratio: float | None, *, was: float, is_sample: bool = True) -> Judged:
    verdict = None if ratio is None else ("nok" if ratio >= 1 else "ok")
    return Judged(name, "ok", recorded, was, "m 1", is_sample, verdict, ratio)  # type: ignore[arg-type]


RESULT = BacktestResult(
    "new 2",
    (
        judged("a", "ok", 0.5, was=0.4),
        judged("b", "ok", 1.1, was=0.5),
        judged("c", "ok", 1.8, was=0.95, is_sample=False),
        judged("d", "nok", 0.9, was=1.2),
        judged("e", "nok", 1.5, was=1.4),
        judged("f", "ok", None, was=0.3),
    ),
)


def test_what_changed_is_counted_and_what_cannot_be_judged_is_rejected() -> None:
    assert dict(RESULT.counts) == {("ok", "ok"): 1, ("ok", "nok"): 3, ("nok", "ok"): 1, ("nok", "nok"): 1}
    assert [(one.name, one.change) for one in RESULT.differences] == [
        ("f", "rejects"),
        ("c", "rejects"),
        ("b", "rejects"),
        ("d", "passes"),
    ]


def test_rates_on_the_line_come_from_the_uniform_sample_alone() -> None:
    assert (RESULT.new_rejects.count, RESULT.new_rejects.total) == (2, 3)
    assert (RESULT.passed.count, RESULT.passed.total) == (1, 2)
    said = RESULT.as_json()
    assert said["models"] == {"m 1": 6}
    assert said["differences"][0]["ratio"] is None
