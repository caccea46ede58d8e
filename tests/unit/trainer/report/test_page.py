from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from trainer.calibration.calibration import Calibration, CalibrationImage
from trainer.calibration.cost import threshold_cost
from trainer.charts import inline
from trainer.charts.canvas import Draw
from trainer.charts.svg import render_svg
from trainer.dataset.dataset import DLDatasetSample
from trainer.display.picture import shrink
from trainer.evaluation.pixel_measures import PixelMeasures
from trainer.evaluation.result import evaluate_scores
from trainer.report.page import THUMBNAIL_SIDE, InspectedImage, PictureRow, Report, render_report
from trainer.thresholds.estimate import estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores

CALIBRATION = Calibration(
    method="out_of_fold",
    scores=(0.30, 0.32, 0.35),
    classification_threshold=0.5,
    segmentation_threshold=0.6,
    false_reject_bound=0.092,
    confidence=0.95,
    max_false_rejects=0.01,
    folds=3,
)


def photo(name: str, label: str, score: float) -> InspectedImage:
    image = np.full((30, 20, 3), 128, dtype=np.uint8)
    return InspectedImage(name, label, score, score >= 0.5, image, image)  # type: ignore[arg-type]


def report(*, with_test: bool = True) -> Report:
    pixels = PixelMeasures()
    pixels.add(np.array([[0.1, 0.9]], np.float32), np.array([[False, True]]))
    plain = Report(
        name="cookie <1>",
        dataset="/data/cookie",
        detector="PatchCore",
        created_at="2026-01-01",
        n_train=31,
        calibration=CALIBRATION,
    )
    if not with_test:
        return plain
    return replace(
        plain,
        test_ok=(0.2, 0.55),
        test_nok=(0.45, 0.7, 0.8),
        evaluation=evaluate_scores([0.2, 0.55, 0.45, 0.7, 0.8], ["ok", "ok", "nok", "nok", "nok"], 0.5, pixels),
        rows=(
            PictureRow("Worst ok", "Near misses.", (photo("a.png", "ok", 0.55), photo("b.png", "ok", 0.2))),
            PictureRow("Hardest nok", "Hard.", (photo("<c>.png", "nok", 0.45),)),
            PictureRow("Nothing to see", "Empty.", ()),
        ),
        warnings=("too few images & no more",),
        parameters=(("seed", "0"),),
        provenance=(("digest", "abc"),),
    )


@cache
def plain_page() -> str:
    """Of the report above; a page takes a second, and most tests look at this one."""
    return render_report(report())


@cache
def untested_page() -> str:
    return render_report(report(with_test=False))


@cache
def only_ok_page() -> str:
    """Of a test set without nok images."""
    evaluation = evaluate_scores([0.2, 0.55], ["ok", "ok"], 0.5)
    return render_report(replace(report(), test_nok=(), evaluation=evaluation))


@cache
def trained_page() -> str:
    """Of a training over epochs."""
    return render_report(replace(report(), training_errors=(0.4, 0.1, 0.2)))


class Links(HTMLParser):
    """Collects what a page would load, and the text that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href", "data", "srcset"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Links:
    links = Links()
    links.feed(page)
    links.text = re.sub(r"\s+", " ", links.text)
    return links


def test_page_loads_nothing_from_elsewhere_and_runs_nothing() -> None:
    page = plain_page()
    links = read(page)
    assert links.tags.count("img") == 6
    assert all(link.startswith("data:image/jpeg;base64,") for link in links.loaded)
    assert not {"script", "link", "iframe", "object"} & set(links.tags)
    assert "url(" not in page
    assert "@import" not in page


def test_each_chart_is_seen_once_at_any_width() -> None:
    page = trained_page()
    assert page.count('<svg class="chart wide"') == page.count('<svg class="chart narrow"') == 3
    assert ".chart.narrow { display: none;" in page
    assert "(max-width: 760px) { .chart.wide { display: none; } .chart.narrow { display: block; }" in page


def test_each_chart_is_drawn_once_for_each_width(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def render(draw: Draw, label: str, size: tuple[float, float], *, kind: str = "chart") -> str:
        drawn.append(f"{label}, {kind}")
        return render_svg(draw, label, size, kind=kind)

    monkeypatch.setattr(inline, "render_svg", render)
    render_report(replace(report(), training_errors=(0.4, 0.1, 0.2)))
    assert len(drawn) == len(set(drawn)) == 2 * 3 + 2, "histogram, curves and training error, and two pies"


def test_figures_on_the_page() -> None:
    text = read(plain_page()).text
    assert "finds 2 of 3 nok parts and rejects 1 of 2 ok parts" in text
    assert "66.7 %" in text
    assert "With 95 % confidence (an estimate), at most 9.2 % of ok parts" in text
    assert "ok, cross-validated3 images" in text
    assert "1 of 2 rejected" in text
    assert "2 of 3 found" in text
    assert "threshold 0.5" in text
    assert "too few images & no more" in text
    assert "cookie <1>" in text, "escaped on the page"
    assert "<c>.png" in text


def test_measures_beyond_the_threshold_are_on_the_page() -> None:
    text = read(plain_page()).text
    assert "AUPRO1.000 how well the map covers each of 1 marked regions" in text
    assert "average precision of nok images0.917" in text
    assert "best F1 of any threshold0.857, at 0.4500" in text
    assert "pixel AUROC1.000, on 1 images" in text
    assert "found at 1 % false rejects at most66.7 % (95 % interval 9.4 % to 99.2 %), with 0 of 2 ok images" in text


def test_measures_that_are_not_known_are_left_out() -> None:
    for page in (only_ok_page(), untested_page()):
        assert "Measures that do not depend on the threshold" not in page
        assert "AUPRO" not in page


def test_wrong_verdicts_are_marked() -> None:
    page = plain_page()
    assert page.count('<figure class="wrong">') == 2
    assert "false reject</span>" in page
    assert "missed</span>" in page


def test_rows_without_pictures_are_left_out() -> None:
    assert "Nothing to see" not in plain_page()


def test_page_without_a_test_set_says_what_is_not_known() -> None:
    text = read(untested_page()).text
    assert "how many nok parts this model finds is not known" in text
    assert "Image AUROC" not in text
    assert "nok, test" not in text


def test_test_set_of_ok_images_only_claims_nothing_about_nok_parts() -> None:
    text = read(only_ok_page()).text
    assert "this model rejects 1 of 2 ok parts." in text
    assert "finds" not in text


def test_a_rate_that_was_not_asked_for_is_not_named() -> None:
    assert " were asked for" in plain_page()
    halcon = render_report(replace(report(), calibration=replace(CALIBRATION, max_false_rejects=None)))
    assert "of ok parts</strong> will be rejected" in halcon
    assert "asked for" not in halcon
    assert "No test image was used" not in halcon


@pytest.mark.parametrize(("value", "shown"), [(0.9997, "0.999"), (1.0, "1.000"), (0.98765, "0.988"), (math.nan, "nan")])
def test_a_measure_is_never_rounded_up_to_perfect(value: float, shown: str) -> None:
    evaluation = evaluate_scores([0.2, 0.7], ["ok", "nok"], 0.5)
    page = render_report(replace(report(), evaluation=replace(evaluation, image_auroc=value)))
    assert f"<dt>Image AUROC</dt><dd>{shown}</dd>" in page


def test_the_bound_of_held_out_images_is_no_estimate() -> None:
    text = read(render_report(replace(report(), calibration=replace(CALIBRATION, method="held_out")))).text
    assert "With 95 % confidence, at most 9.2 % of ok parts" in text
    assert "estimate" not in text


@pytest.mark.parametrize(
    ("bound", "shown"), [(0.0042, "0.42"), (0.01, "1"), (0.0712, "7.1"), (0.9996, "99.96"), (1.0, "100")]
)
def test_rates_keep_the_digits_that_matter(bound: float, shown: str) -> None:
    page = render_report(replace(report(), calibration=replace(CALIBRATION, false_reject_bound=bound)))
    assert f"<dt>False-reject bound</dt><dd>{shown}\u00a0%</dd>" in page


def test_matrix_says_counts_and_shares_of_each_true_class() -> None:
    cells = re.findall(r'<td class="(\w*)">(\d+)<small>([^<]+)</small>', plain_page())
    assert [(style, count, share.replace("\u00a0", " ")) for style, count, share in cells] == [
        ("right", "1", "50 %"), ("wrong", "1", "33.3 %"), ("wrong", "1", "50 %"), ("right", "2", "66.7 %"),
    ]  # fmt: skip


def test_page_shows_the_training_error_where_there_is_one() -> None:
    assert "Training error" not in plain_page()
    page = trained_page()
    assert "best: 0.1 in epoch 2" in page
    page = render_report(replace(report(), training_errors=(0.4, 0.1, 0.2), best_epoch=3))
    assert "best: 0.2 in epoch 3" in page


def test_page_shows_curves_and_pies_of_a_test_set_only() -> None:
    page = plain_page()
    assert page.count('class="chart pies"') == 2
    assert "What another threshold would cost" in page
    without = untested_page()
    assert 'class="chart pies"' not in without
    assert "What another threshold would cost" not in without
    assert "What another threshold would cost" not in only_ok_page()


def test_grid_frames_wrong_verdicts_and_holds_small_pictures() -> None:
    image = np.zeros((900, 600, 3), np.uint8)
    grid = (
        photo("a.png", "ok", 0.2),
        photo("b.png", "ok", 0.55),
        InspectedImage("c.png", "nok", 0.9, True, image, image),
    )
    page = render_report(replace(report(), rows=(), grid=grid))
    assert page.count('<figure class="tile wrong"') == 1
    assert page.count('<figure class="tile ') == 3
    assert all(link.startswith("data:image/jpeg;base64,") for link in read(page).loaded)
    coded = base64.b64decode(read(page).loaded[2].split(",")[1])
    decoded = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert max(decoded.shape) == THUMBNAIL_SIDE


def test_pictures_are_shrunk_to_fit() -> None:
    assert shrink(np.zeros((1000, 500, 3), np.uint8), 100).shape == (100, 50, 3)
    assert shrink(np.zeros((50, 80, 3), np.uint8), 100).shape == (50, 80, 3)


def test_a_share_on_average_is_said_with_how_sure_it_is() -> None:
    calibration = replace(CALIBRATION, max_false_rejects=None, false_rejects=0.05, n_groups=9)
    text = read(render_report(replace(report(), calibration=calibration))).text
    assert "On average 5 % of ok parts from groups not seen will be rejected" in text
    assert (
        "With 95 % confidence (an estimate), it is at most 9.2 %; with more groups this bound comes closer to the "
        "average." in text
    )
    assert "False rejects on average" in text
    assert "No test image was used" in text


def test_images_above_the_threshold_are_named_a_few_dozen_at_most() -> None:
    sample = DLDatasetSample(0, "odd <1>.png", "ok", 8, 8, 1, "", "")
    above = tuple(CalibrationImage(replace(sample, image_file_name=f"odd <{place}>.png"), 0.6) for place in range(50))
    page = render_report(replace(report(), calibration=replace(CALIBRATION, above=above)))
    assert "50 of these 3 images lie above the threshold" in read(page).text
    assert "odd &lt;39&gt;.png and 10 more" in page
    assert "lie above the threshold" not in plain_page()


def test_the_table_of_rates_marks_the_one_that_ships() -> None:
    scores = CalibrationScores(ok=[1 + place / 100 for place in range(60)])
    cost = threshold_cost(estimate_anomaly_thresholds(scores), [0.9, 0.2], [0.1])
    calibration = replace(CALIBRATION, max_false_rejects=None, false_rejects=0.05)
    page = render_report(replace(report(), calibration=calibration, cost=cost))
    text = read(page).text
    assert "finds 50 % of the 2 test defects" in text
    assert page.count('class="chosen"') == 1
    assert "5 % (this model)" in text
    assert "1 of 2 (50 %)" in text
    assert "What other rates of false rejects would find" not in plain_page()
