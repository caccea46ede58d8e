from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typing_extensions import override

from deploy.demo.account import Account, Received
from deploy.demo.cameras import DemoCamera
from deploy.demo.summary import ImageVerdict, Run, summarise
from deploy.demo.views.chart import latency_chart
from deploy.demo.views.page import Card, draw_cards, groups_of, region_of, render_page
from deploy.local.base import Broker
from inspector.anomaly.verdict.draw import REGION_COLOUR
from inspector.anomaly.verdict.region import find_anomaly_region
from tests.unit.deploy.demo.test_account import CAPTURED_AT, result_line, sent_line
from trainer.errors import UnreadableImageError

WIDTH, HEIGHT = 96, 64
MODEL = {"n_train": 5, "n_calibration": 5, "false_reject_bound": 0.45, "job_seconds": 3.0}


@pytest.fixture
def camera(tmp_path: Path) -> DemoCamera:
    """A camera with two ok and two nok images, gray all over, and the pictures that the trainer drew of them."""
    camera = DemoCamera("top", "Top <view>", tmp_path / "data", 0)
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for name in ("good/a", "good/b", "crack/a", "crack/b"):
        for path in (camera.test_folder / f"{name}.jpg", tmp_path / "pictures" / "top" / f"{name}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
    return camera


def region_json() -> dict[str, Any]:
    """The region of a square at 20, 10 of 30 x 20 pixels, as a result carries it in JSON."""
    scores = np.zeros((HEIGHT, WIDTH), np.float32)
    scores[10:30, 20:50] = 1
    region = find_anomaly_region(scores, width=WIDTH, height=HEIGHT, threshold=0.5)
    assert region is not None
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "area": region.area,
        "counts": region.counts.hex(),
        "num_components": 1,
        "components": [],
        "region_truncated": False,
    }


def played(camera: DemoCamera, scores: dict[str, float]) -> Run:
    account = Account([camera.camera_id])
    for index, (name, score) in enumerate(scores.items()):
        at = CAPTURED_AT + index * 100_000
        account.take_replay_line("top", sent_line(name, file=str(camera.test_folder / f"{name}.jpg"), captured_at=at))
        is_nok = score >= 0.5
        verdict: dict[str, Any] = {
            "anomaly_score": score,
            "anomaly_class": "nok" if is_nok else "ok",
            "anomaly_region": region_json() if is_nok else None,
            "captured_at": at,
            "deadline_at": at + 5_000_000,
        }
        account.take_result_line(result_line(name, **verdict), at + 50_000)
    broker = Broker("Tansu & friends", "127.0.0.1:1", supports_idempotence=False)
    run = Run(broker, [camera], account, Account(["top"]), {"top": MODEL}, commands=["inspector run --config <file>"])
    return replace(run, seconds={"total": 12.0})


GOOD = {"good/a": 0.1, "good/b": 0.2, "crack/a": 0.7, "crack/b": 0.8}


def page_of(run: Run, pictures: Path) -> str:
    (camera,) = run.cameras
    return render_page(run, summarise(run), {"top": draw_cards(run.images(camera), camera, pictures)})


class _Reader(HTMLParser):
    """Collects what a page refers to, and checks that elements are closed in order."""

    VOID = frozenset({"meta", "img", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "data", "srcset"}]
        if tag not in self.VOID:
            self._open.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_the_page_stands_alone_and_shows_each_image_once(camera: DemoCamera, tmp_path: Path) -> None:
    reader = _Reader()
    html = page_of(played(camera, GOOD), tmp_path / "pictures")
    reader.feed(html)

    assert len(reader.sources) == 2 * len(GOOD)
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert not {"script", "link", "iframe"} & set(reader.tags)
    assert "url(" not in html


def test_what_it_shows_is_escaped(camera: DemoCamera, tmp_path: Path) -> None:
    html = page_of(played(camera, GOOD), tmp_path / "pictures")
    assert "Top &lt;view&gt;" in html
    assert "Tansu &amp; friends" in html
    assert "&lt;file&gt;" in html
    assert "<view>" not in html
    assert "<file>" not in html


def test_the_pictures_are_attributed(camera: DemoCamera, tmp_path: Path) -> None:
    html = page_of(played(camera, GOOD), tmp_path / "pictures")
    assert "Amazon.com, Inc. or its affiliates" in html
    assert "CC BY-SA 4.0" in html


def test_faults_are_told_and_only_then(camera: DemoCamera, tmp_path: Path) -> None:
    good = page_of(played(camera, GOOD), tmp_path / "pictures")
    bad = page_of(played(camera, GOOD | {"crack/a": 0.3, "crack/b": 0.15}), tmp_path / "pictures")

    assert "Not as it should be" not in good
    assert re.search(r"Not as it should be.*0.0000 of the defects are found", bad, re.DOTALL)
    assert "missed" in bad


def test_a_run_without_a_verdict_still_has_a_page(camera: DemoCamera, tmp_path: Path) -> None:
    run = played(camera, GOOD)
    run.account.cameras["top"].received.clear()

    html = page_of(run, tmp_path / "pictures")

    assert "4 without a verdict" in html
    assert "not inspected" in html


def test_the_region_of_the_verdict_is_drawn_on_the_image(camera: DemoCamera, tmp_path: Path) -> None:
    images = played(camera, GOOD).images(camera)
    cards = {card.name: card for card in draw_cards(images, camera, tmp_path / "pictures")}

    assert num_red(cards["crack/a"].outlined) > 50
    assert num_red(cards["good/a"].outlined) == 0
    assert (cards["crack/a"].num_regions, cards["good/a"].num_regions) == (1, 0)


def num_red(data_uri: str) -> int:
    """Pixels of about the colour of an outline."""
    data = np.frombuffer(base64.b64decode(data_uri.partition(",")[2]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    difference = np.abs(picture[..., ::-1].astype(int) - REGION_COLOUR).max(axis=2)
    return int((difference < 80).sum())


def test_a_region_that_was_too_long_to_send_is_not_drawn() -> None:
    region = region_json() | {"counts": None, "region_truncated": True}
    assert region_of(received(0.7, region=region)) is None
    assert region_of(received(0.1)) is None


def received(score: float, **changes: Any) -> Received:
    made = Received(
        result_id="r",
        camera_id="top",
        part_id="p",
        status="inspected",
        reason="none",
        anomaly_class="nok" if score >= 0.5 else "ok",
        score=score,
        threshold=0.5,
        captured_at=CAPTURED_AT,
        deadline_at=CAPTURED_AT + 1,
        read_at=CAPTURED_AT,
    )
    return replace(made, **changes)


def card(label: str, score: float | None) -> Card:
    image = ImageVerdict(Path("x.jpg"), label, None if score is None else received(score))
    return Card("x", image, "", "")


def test_what_is_wrong_comes_first_and_nothing_is_left_out() -> None:
    cards = [card("ok", 0.1), card("ok", 0.6), card("nok", 0.4), card("nok", None), card("nok", 0.7)]
    cards += [card("nok", 0.8 + index / 100) for index in range(10)]

    wrong, rejected, passed = groups_of(cards, 8)

    assert [c.verdict for c in wrong.cards] == ["false reject", "missed", "not inspected"]
    assert [c.score for c in (*rejected.cards, *rejected.more)] == sorted((c.score for c in cards[4:]), reverse=True)
    assert len(rejected.more) == 3
    assert [c.score for c in passed.cards] == [0.1]


def test_a_group_without_cards_is_left_out() -> None:
    assert [group.title for group in groups_of([card("ok", 0.1)], 8)] == ["Passed"]


def test_a_picture_that_is_not_there_is_named(camera: DemoCamera, tmp_path: Path) -> None:
    images = played(camera, GOOD).images(camera)
    (tmp_path / "pictures" / "top" / "crack" / "a.png").unlink()
    with pytest.raises(UnreadableImageError, match=r"crack/a\.png cannot be read"):
        draw_cards(images, camera, tmp_path / "pictures")


def test_the_chart_has_a_dot_for_each_frame_inside_its_frame(camera: DemoCamera) -> None:
    svg = latency_chart({"Top": played(camera, GOOD).account.cameras["top"]})

    for kind, width in (("wide", 960), ("narrow", 400)):
        (chart,) = re.findall(f'<svg class="chart {kind}".*?</svg>', svg)
        dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', chart)
        assert len(dots) == len(GOOD)
        assert all(0 <= float(x) <= width and 0 <= float(y) <= 280 for x, y in dots)
        assert '<g class="frames"><title>Top</title>' in chart


def test_cameras_have_colours_of_their_own(camera: DemoCamera) -> None:
    account = played(camera, GOOD).account.cameras["top"]
    svg = latency_chart({"Top": account, "Side": account})

    colours = [re.findall(r"fill: var\((--\w+)\)", group) for group in re.findall(r'<g class="frames">.*?</g>', svg)]
    assert [set(found) for found in colours[:2]] == [{"--accent"}, {"--second"}]


def test_a_chart_of_nothing_is_empty() -> None:
    assert latency_chart({"Top": Account(["top"]).cameras["top"]}) == ""
