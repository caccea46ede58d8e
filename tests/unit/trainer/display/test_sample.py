from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.domain.domain import DomainView, ImageDomain
from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.anomaly.verdict.draw import NOK_COLOUR, OK_COLOUR
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.display.files import show_grid, show_samples, show_training
from trainer.display.heat_map import HeatmapScheme, colour_bar, colour_table, heat_map
from trainer.display.legend import Legend, add_legend
from trainer.display.lettering import font, shorten
from trainer.display.picture import TRUTH_COLOUR, write_png
from trainer.display.sample import DISPLAY_KEYS, DisplayKey, DisplayParam, dev_display_dl_data
from trainer.display.tiles import ShownSample, TiledParam, dev_display_dl_data_tiled
from trainer.errors import OutputError, SettingsError

Picture = NDArray[np.uint8]

THRESHOLDS = Thresholds(classification=0.5, segmentation=0.5)
PLAIN = DisplayParam(display_legend=False, display_bottom_desc=False, scale_windows=0.5)
RESULT_COLOUR = (255, 45, 45)
SIDE = 400  # of a picture at scale 0.5


def sample(label: AnomalyClass | None = "nok", *, shape: tuple[int, ...] = (100, 100, 3)) -> DLSample:
    return DLSample(np.full(shape, 90, np.uint8), shape[1], shape[0], 3, image_label=label, image_file_name="a/b.png")


def result(of: DLSample, score: float = 0.7) -> DLResult:
    """A region in the upper left quarter."""
    heat = np.zeros((50, 50), np.float32)
    heat[10:20, 10:20] = 0.9
    return threshold_dl_anomaly_results(THRESHOLDS, of, DLResult(score, heat))


def truth() -> NDArray[np.bool_]:
    """A label in the lower right quarter."""
    mask = np.zeros((100, 100), np.bool_)
    mask[60:80, 60:80] = True
    return mask


def show(
    key: DisplayKey, label: AnomalyClass | None = "nok", *, score: float = 0.7, param: DisplayParam = PLAIN
) -> Picture:
    one = sample(label)
    return dev_display_dl_data(one, result(one, score), truth(), keys=[key], param=param)[key]


def is_drawn(picture: Picture, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray((np.abs(picture.astype(int) - colour) <= 3).all(axis=2))


def frame_colour(picture: Picture) -> tuple[int, ...]:
    """Colour of the lower right corner, where no mark is."""
    return tuple(picture[-2, -2].tolist())


@pytest.mark.parametrize(
    ("label", "score", "colour"),
    [("nok", 0.7, OK_COLOUR), ("ok", 0.3, OK_COLOUR), ("nok", 0.3, NOK_COLOUR), ("ok", 0.7, NOK_COLOUR)],
)
def test_the_frame_is_green_where_the_verdict_is_right_and_red_where_it_is_wrong(
    label: AnomalyClass, score: float, colour: tuple[int, int, int]
) -> None:
    assert frame_colour(show("anomaly_both", label, score=score)) == colour


def test_without_a_label_there_is_no_frame() -> None:
    picture = show("anomaly_both", None)
    assert picture.shape == (SIDE, SIDE, 3)
    assert frame_colour(picture) == (90, 90, 90)


def test_a_threshold_is_tried_out_without_changing_the_result() -> None:
    one = sample("nok")
    judged = result(one, 0.7)
    param = PLAIN.model_copy(update={"anomaly_classification_threshold": 0.8})
    tried = dev_display_dl_data(one, judged, keys=["anomaly_both"], param=param)["anomaly_both"]
    assert frame_colour(tried) == NOK_COLOUR
    assert (judged.anomaly_class, judged.classification_threshold) == ("nok", 0.5)
    # The same of the region: none of the map is at 0.95.
    param = PLAIN.model_copy(update={"anomaly_region_threshold": 0.95})
    assert not is_drawn(show("anomaly_result", param=param), RESULT_COLOUR).any()
    assert judged.anomaly_region is not None


def test_a_threshold_can_be_tried_out_on_a_result_without_verdict() -> None:
    one = sample("nok")
    raw = replace(result(one), anomaly_class=None, classification_threshold=None, segmentation_threshold=None)
    assert frame_colour(dev_display_dl_data(one, raw, keys=["anomaly_both"], param=PLAIN)["anomaly_both"]) != OK_COLOUR
    param = PLAIN.model_copy(update={"anomaly_classification_threshold": 0.6})
    drawn = dev_display_dl_data(one, raw, keys=["anomaly_both"], param=param)["anomaly_both"]
    assert frame_colour(drawn) == OK_COLOUR


def test_outlines_lie_at_the_borders_of_truth_and_region() -> None:
    labelled = is_drawn(show("anomaly_ground_truth"), TRUTH_COLOUR)
    rows, columns = np.nonzero(labelled)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((240, 319, 240, 319), abs=4)
    assert not labelled[250:310, 250:310].any(), "an outline, not an area"
    found = is_drawn(show("anomaly_result"), RESULT_COLOUR)
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((80, 160, 80, 160), abs=12)


@pytest.mark.parametrize("scheme", ["threshold", "jet", "inverse_hot"])
def test_the_heat_map_of_a_crop_lies_where_the_crop_does(scheme: HeatmapScheme) -> None:
    corner = ImageDomain.of_polygons([((50, 50), (100, 50), (50, 100))], image_width=100, image_height=100)
    heat = np.full((50, 50), 0.4, np.float32)
    heat[10:20, 10:20] = 0.9  # in the picture at (60, 60), in the window at (240, 240) to (280, 280)
    view = DomainView(corner, is_crop=True)
    judged = threshold_dl_anomaly_results(THRESHOLDS, sample(), DLResult(0.7, heat, view=view))
    param = PLAIN.model_copy(update={"heatmap_color_scheme": scheme})
    picture = dev_display_dl_data(sample(), judged, keys=["anomaly_image"], param=param)["anomaly_image"]
    assert picture.shape == (SIDE, SIDE, 3)
    outside = ~pixels_inside(corner, SIDE, SIDE)
    assert (picture[outside] == 90).all(), "nothing is known of what lies outside the domain"
    hot = np.abs(picture.astype(int) - picture[260, 260].astype(int)).max(axis=2) <= 2
    rows, columns = np.nonzero(hot & ~outside)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((240, 279, 240, 279), abs=6)


def test_each_key_shows_its_own() -> None:
    colours: dict[str, tuple[bool, bool]] = {}
    for key in DISPLAY_KEYS:
        picture = show(key, None)
        colours[key] = bool(is_drawn(picture, TRUTH_COLOUR).any()), bool(is_drawn(picture, RESULT_COLOUR).any())
    assert colours == {
        "image": (False, False),
        "anomaly_ground_truth": (True, False),
        "anomaly_result": (False, True),
        "anomaly_both": (True, True),
        "anomaly_image": (False, False),
    }
    hidden = PLAIN.model_copy(update={"display_ground_truth_anomaly_regions": False})
    assert not is_drawn(show("anomaly_both", None, param=hidden), TRUTH_COLOUR).any()


def test_heat_shows_where_the_map_is_high_and_nowhere_else() -> None:
    changed = (show("anomaly_image") != show("image")).any(axis=2)
    assert changed[100:140, 100:140].all()
    assert not changed[200:].any()


@pytest.mark.parametrize("shape", [(60, 30), (60, 30, 3), (2000, 900, 3)])
def test_pictures_of_any_size_are_shown_in_one_size_and_left_as_they_are(shape: tuple[int, ...]) -> None:
    one = sample(shape=shape)
    before = one.image.copy()
    drawn = dev_display_dl_data(one, result(one), keys=["image", "anomaly_result", "anomaly_image"], param=PLAIN)
    for picture in drawn.values():
        assert picture.dtype == np.uint8
        assert (picture.shape[2], max(picture.shape[:2])) == (3, SIDE)
        assert picture.shape[1] == pytest.approx(SIDE * shape[1] / shape[0], abs=1)
    assert (one.image == before).all()


def test_opacity_of_a_colour_lets_the_picture_through() -> None:
    half = show("anomaly_result", param=PLAIN.model_copy(update={"anomaly_region_result_color": "#ff2d2d80"}))
    assert not is_drawn(half, RESULT_COLOUR).any()
    assert is_drawn(half, (173, 67, 67)).sum() > 50


def test_legend_and_description_add_room_and_leave_the_picture_alone() -> None:
    bare = show("anomaly_image")
    full = show("anomaly_image", param=DisplayParam(scale_windows=0.5))
    assert full.shape[0] > bare.shape[0]
    assert full.shape[1] > bare.shape[1]
    assert (full[:SIDE, :SIDE] == bare).all()
    right = full[:, SIDE:]
    assert is_drawn(right, OK_COLOUR).sum() > 10, "a right verdict is green in the legend"
    wrong = show("anomaly_image", "ok", param=DisplayParam(scale_windows=0.5))[:, SIDE:]
    assert is_drawn(wrong, NOK_COLOUR).sum() > 10


def test_a_legend_taller_than_the_picture_is_whole() -> None:
    legend = Legend("below", [(f"fact {i}", "1") for i in range(12)])
    framed = add_legend(np.zeros((20, 30, 3), np.uint8), legend, font_size=14)
    assert framed.shape[0] > 12 * 14
    assert (framed[:20, :30] == 0).all()


def test_long_names_lose_their_middle() -> None:
    name = "test/a very long folder of defects/0001.png"
    short = shorten(name, 120, size=12)
    assert font(12).getlength(short) <= 120
    assert short.startswith("test/")
    assert short.endswith(".png")
    assert shorten("short", 120, size=12) == "short"
    assert shorten(name, 1, size=12) == "\u2026"


# --------------------------------------------------------------------------------------------------------------- heat


def test_hot_gets_brighter_and_jet_goes_from_blue_to_red() -> None:
    hot = colour_table("hot").astype(int).sum(axis=1)
    assert (np.diff(hot) >= 0).all()
    assert (hot[0], hot[-1]) == (pytest.approx(0, abs=12), 765)
    jet = colour_table("jet")
    hue = cv2.cvtColor(jet[None], cv2.COLOR_RGB2HSV)[0, :, 0].astype(int)
    assert (np.diff(hue) <= 0).all()
    assert jet[0].argmax() == 2
    assert jet[-1].argmax() == 0


def test_inverse_schemes_are_the_same_backwards() -> None:
    assert (colour_table("inverse_jet") == colour_table("jet")[::-1]).all()
    assert (colour_table("inverse_hot") == colour_table("hot")[::-1]).all()


@pytest.mark.parametrize("scheme", ["jet", "inverse_jet", "hot", "inverse_hot"])
def test_schemes_blend_half_and_half(scheme: HeatmapScheme) -> None:
    heat = np.array([[0.0, 1.0]], np.float32)
    drawn = heat_map(np.full((4, 2, 3), 100, np.uint8), heat, scheme)
    table = colour_table(scheme).astype(float)  # type: ignore[arg-type]
    assert drawn[0, 0] == pytest.approx((table[0] + 100) / 2, abs=1)
    assert drawn[0, 1] == pytest.approx((table[-1] + 100) / 2, abs=1)
    assert colour_bar(scheme, width=40, height=5).shape == (5, 40, 3)


def test_a_broken_map_is_as_hot_as_can_be() -> None:
    gray = np.full((2, 2), 100, np.uint8)
    assert (
        heat_map(gray, np.full((2, 2), np.nan, np.float32), "hot") == heat_map(gray, np.ones((2, 2), np.float32), "hot")
    ).all()


# --------------------------------------------------------------------------------------------------------------- grid


def shown(count: int) -> list[ShownSample]:
    samples = [replace(sample("nok" if i % 2 else "ok"), image_file_name=f"{i}.png") for i in range(count)]
    return [ShownSample(one, result(one, 0.7), truth()) for one in samples]


def test_grid_has_a_tile_for_each_sample_in_order() -> None:
    param = TiledParam(columns=3, tile_side=100, gap=10)
    grid = dev_display_dl_data_tiled(shown(5), param=param)
    tile = 100 + 2 * 4  # with its frame
    caption = round(3.2 * 12)
    assert grid.shape == (10 + 2 * (tile + caption + 10), 10 + 3 * (tile + 10), 3)
    frames = [
        tuple(grid[10 + tile - 2 + row * (tile + caption + 10), 10 + tile - 2 + column * (tile + 10)].tolist())
        for row, column in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2))
    ]
    assert frames == [NOK_COLOUR, OK_COLOUR, NOK_COLOUR, OK_COLOUR, NOK_COLOUR, (255, 255, 255)]


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_grid_of_any_number_is_not_far_from_a_page(count: int) -> None:
    height, width = dev_display_dl_data_tiled(shown(count), "image", param=TiledParam(tile_side=40)).shape[:2]
    assert 0.4 < width / height < 4


def test_grid_of_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="no sample to show; give one or more"):
        dev_display_dl_data_tiled([])


# -------------------------------------------------------------------------------------------------------------- files


def test_png_files_can_be_read_and_have_the_said_size(tmp_path: Path) -> None:
    written = show_samples(tmp_path, shown(2), keys=["image", "anomaly_both"], param=PLAIN)
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "image/0.png", "anomaly_both/0.png", "image/1.png", "anomaly_both/1.png",
    ]  # fmt: skip
    read = cv2.imread(str(written[0]))
    assert read is not None
    assert read.shape == (SIDE, SIDE, 3)
    colour = cv2.imread(str(written[1]))
    assert colour is not None
    assert tuple(colour[-2, -2, ::-1].tolist()) == NOK_COLOUR, "RGB, not BGR"
    grid = show_grid(tmp_path, shown(3), param=TiledParam(tile_side=50))
    assert cv2.imread(str(grid)) is not None


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    wild = replace(shown(1)[0].sample, image_file_name="../../etc/x.png")
    unnamed = replace(wild, image_file_name=None)
    samples = [ShownSample(wild), ShownSample(unnamed), ShownSample(replace(unnamed, image_id=7))]
    written = show_samples(tmp_path / "out", samples, keys=["image"], param=PLAIN)
    assert [str(path.relative_to(tmp_path / "out")) for path in written] == [
        "image/etc/x.png", "image/image_00001.png", "image/image_7.png",
    ]  # fmt: skip


def test_two_samples_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"two samples are called 0\.png; give each a different"):
        show_samples(tmp_path, shown(1) * 2, keys=["image"])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_png(tmp_path / "file" / "x.png", np.zeros((2, 2, 3), np.uint8))


def test_a_path_may_be_text(tmp_path: Path) -> None:
    write_png(str(tmp_path / "x.png"), np.zeros((2, 2, 3), np.uint8))
    assert (tmp_path / "x.png").exists()
    assert show_training(str(tmp_path), [0.5, 0.25]).exists()


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("key", ["anomaly_result", "anomaly_both", "anomaly_image"])
def test_what_needs_a_result_is_refused_without(key: DisplayKey) -> None:
    with pytest.raises(SettingsError, match=f"{key} needs a result"):
        dev_display_dl_data(sample(), keys=[key])


def test_ground_truth_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="needs the labelled mask"):
        dev_display_dl_data(sample(), keys=["anomaly_ground_truth"])


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(SettingsError, match="'depth' cannot be shown; choose from image, anomaly_ground_truth"):
        dev_display_dl_data(sample(), keys=["depth"])  # type: ignore[list-item]


@pytest.mark.parametrize("colour", ["red", "#ff00", "#ff00000", "#gg0000"])
def test_colours_that_are_none_are_refused(colour: str) -> None:
    with pytest.raises(SettingsError, match="a colour is #rrggbb or #rrggbbaa"):
        DisplayParam(anomaly_region_result_color=colour)


def test_a_sample_that_a_cache_gave_back_has_no_picture_to_draw() -> None:
    sample = DLSample(np.empty((0, 0), np.uint8), 8, 8, 3, image_id=7)
    with pytest.raises(
        SettingsError,
        match="sample 7 was read from a cache, which does not contain its picture; to draw it, create the sample",
    ):
        dev_display_dl_data(sample, keys=["image"])
