from __future__ import annotations

import math

import numpy as np
import pytest

from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.types import DLResult, DLSample
from inspector.anomaly.verdict.draw import REGION_COLOUR
from inspector.anomaly.verdict.threshold import Thresholds, threshold_dl_anomaly_results
from trainer.dataset.dataset import DLDatasetSample
from trainer.display.picture import TRUTH_COLOUR
from trainer.report.gallery import (
    ScoredSample,
    above_rows,
    draw_picture,
    gallery,
    glance,
    painted_rows,
    suspect_rows,
    unseen_rows,
)
from trainer.report.page import InspectedImage

BLANK = np.zeros((4, 4, 3), np.uint8)


def scored(name: str, label: AnomalyClass, score: float) -> ScoredSample:
    known = sum(ord(letter) * 131**place for place, letter in enumerate(name))
    return ScoredSample(DLDatasetSample(known, name, label, 4, 4, 3, digest=name, pixel_digest=name), score)


def blank(item: ScoredSample) -> InspectedImage:
    return InspectedImage(item.sample.image_file_name, item.sample.image_label, item.anomaly_score, False, BLANK, BLANK)


def names(test: list[ScoredSample], held_out: list[ScoredSample], count: int) -> list[list[str]]:
    return [[p.name for p in row.pictures] for row in gallery(test, held_out, blank, count=count)]


def test_worst_ok_hardest_nok_and_clearest_nok() -> None:
    ok = [scored(f"ok{i}", "ok", i / 10) for i in range(4)]
    nok = [scored(f"nok{i}", "nok", i / 10) for i in range(5)]
    assert names([*ok, *nok], [], 2) == [["ok3", "ok2"], ["nok0", "nok1"], ["nok4", "nok3"]]


def test_no_image_is_shown_twice() -> None:
    nok = [scored(f"nok{i}", "nok", i / 10) for i in range(3)]
    assert names(nok, [], 2) == [["nok0", "nok1"], ["nok2"]]
    assert names(nok[:1], [], 2) == [["nok0"]]


def test_held_out_images_stand_in_where_no_ok_image_is_tested() -> None:
    held_out = [scored("h0", "ok", 0.1), scored("h1", "ok", 0.2)]
    rows = gallery([], held_out, blank, count=6)
    assert [[p.name for p in row.pictures] for row in rows] == [["h1", "h0"]]
    assert "ok validation images" in rows[0].text
    assert gallery([], [], blank) == []


def test_without_test_images_there_are_unseen_ones_and_painted_defects() -> None:
    (row,) = unseen_rows([scored(f"u{i}", "ok", i / 10) for i in range(4)], blank, count=2)
    assert [picture.name for picture in row.pictures] == ["u3", "u2"]
    assert unseen_rows([], blank) == []
    defects = [blank(scored("a.png, scar", "nok", 0.7))]
    assert "was trained on these images" in painted_rows(defects, has_seen=True)[0].text
    assert "has not seen these images" in painted_rows(defects, has_seen=False)[0].text
    assert painted_rows([], has_seen=True) == []


def test_suspects_and_what_was_left_out_have_a_row_each_in_the_order_given() -> None:
    suspects = [scored(f"odd{i}", "ok", 0.9 - i / 10) for i in range(3)]
    rows = suspect_rows(suspects, [scored("gone", "ok", 0.95)], blank, count=2)
    assert [(row.title, [p.name for p in row.pictures]) for row in rows] == [
        ("Ok images that look unlike the others", ["odd0", "odd1"]),
        ("Ok images that were left out", ["gone"]),
    ]
    assert "the first 2 of 3" in rows[0].text
    assert "the first" not in rows[1].text
    assert suspect_rows([], [], blank) == []


def test_ok_images_above_the_threshold_have_a_row_that_says_what_they_mean() -> None:
    above = [scored(f"t{place}", "ok", 0.9 - place / 100) for place in range(3)]
    (row,) = above_rows(above, blank, count=2)
    assert [picture.name for picture in row.pictures] == ["t0", "t1"]
    assert "parts like them will be rejected" in row.text
    assert "first 2 of 3" in row.text
    assert above_rows([], blank) == []


def test_a_glance_at_the_test_images_shows_both_classes_by_score() -> None:
    ok = [scored(f"ok{i:02}", "ok", i / 100) for i in range(50)]
    nok = [scored("rare", "nok", 0.9)]
    shown = [p.name for p in glance([*nok, *ok], blank, count=10)]
    assert shown == [*sorted(shown[:-1]), "rare"]
    assert (shown[0], shown[-2]) == ("ok00", "ok49")
    assert len(shown) in {10, 11}
    assert [p.name for p in glance([*nok, *ok[:3]], blank, count=10)] == ["ok00", "ok01", "ok02", "rare"]
    assert glance([], blank) == []


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_not_finite_counts_as_highest(score: float) -> None:
    assert names([scored("a", "ok", 0.9), scored("b", "ok", score)], [], 2) == [["b", "a"]]


@pytest.mark.parametrize("shape", [(1200, 800), (1200, 800, 3)])
def test_picture_shows_region_and_truth_in_their_colours(shape: tuple[int, ...]) -> None:
    heat = np.zeros((32, 32), np.float32)
    heat[4:8, 4:8] = 0.9
    truth = np.zeros((1200, 800), np.bool_)
    truth[800:1000, 400:600] = True
    sample = DLSample(np.full(shape, 90, np.uint8), 800, 1200, 3)
    result = threshold_dl_anomaly_results(Thresholds(classification=0.5, segmentation=0.5), sample, DLResult(0.7, heat))
    picture = draw_picture(scored("a", "nok", 0.7), sample.image, result, truth)
    assert picture.outlined.shape == picture.heat_map.shape == (480, 320, 3)
    for colour, row in ((REGION_COLOUR, slice(0, 240)), (TRUTH_COLOUR, slice(240, 480))):
        is_drawn = (picture.outlined == colour).all(axis=2)
        assert is_drawn[row].sum() > 50
        assert is_drawn.sum() == is_drawn[row].sum()
    assert (picture.is_rejected, picture.verdict) == (True, "nok")
