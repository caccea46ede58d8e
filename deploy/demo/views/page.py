"""report.html of the demo: every test image with its verdict, the region that came over Kafka, and the heat map.

One self-contained file without a script, as the training report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from deploy.demo.account import CameraAccount, Received
from deploy.demo.cameras import DemoCamera
from deploy.demo.summary import ImageVerdict, Run
from deploy.demo.views.chart import latency_chart
from inspector.anomaly.types import AnomalyRegion
from inspector.anomaly.verdict.draw import draw_region_outlines
from trainer.charts.inline import score_histogram
from trainer.charts.rows import ScoreRow
from trainer.display.picture import data_uri, shrink
from trainer.pictures.files import read_picture
from trainer.wording import as_figure, as_percent

PICTURE_SIDE = 320
# Full rows of the gallery.
SHOWN_AT_ONCE = {"wide": 9, "tall": 8}
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class Card:
    """One test image on the page; pictures are data URIs.

    Attributes:
        outlined: the image with the region of its verdict.
        heat_map: as `trainer apply --pictures` drew it.
    """

    name: str
    image: ImageVerdict
    outlined: str
    heat_map: str
    is_wide: bool = False

    @property
    def verdict(self) -> str:
        """What was decided, and whether that is wrong."""
        received = self.image.verdict
        if received is None:
            return "not inspected"
        if self.image.is_wrong:
            return "missed" if received.anomaly_class == "ok" else "false reject"
        return received.anomaly_class

    @property
    def score(self) -> float:
        """The score; 0 where the image was never inspected."""
        return (self.image.verdict and self.image.verdict.score) or 0.0

    @property
    def num_regions(self) -> int:
        """Connected parts of the region."""
        region = self.image.verdict and self.image.verdict.region
        return int(region["num_components"]) if region else 0


@dataclass(frozen=True)
class Group:
    """Cards under one heading; those behind `more` are unfolded by the reader."""

    title: str
    text: str
    cards: Sequence[Card]
    more: Sequence[Card] = ()


@dataclass(frozen=True)
class CameraSection:
    """One camera on the page."""

    camera: DemoCamera
    figures: Mapping[str, Any]
    groups: Sequence[Group]
    histogram: Markup
    low: float
    high: float
    shape: Literal["wide", "tall"]
    """`wide` where the pictures are wider than tall."""

    def position(self, score: float) -> str:
        """Where a score lies between the lowest and the highest of this camera, in percent."""
        share = (score - self.low) / (self.high - self.low) if self.high > self.low else 1.0
        return f"{100 * min(max(share, 0.0), 1.0):.1f}"


def draw_cards(images: Sequence[ImageVerdict], camera: DemoCamera, pictures: Path) -> list[Card]:
    """Draw each image.

    Args:
        images: with their verdicts.
        camera: whose images they are.
        pictures: what `trainer apply --pictures` wrote: a folder for each camera.
    """
    return [_card(image, camera, pictures / camera.camera_id) for image in images]


def _card(image: ImageVerdict, camera: DemoCamera, pictures: Path) -> Card:
    name = image.image.relative_to(camera.test_folder)
    outlined = _shrunk(image.image)
    if image.verdict is not None and image.verdict.region is not None:
        region = region_of(image.verdict)
        if region is not None:
            outlined = draw_region_outlines(outlined, region)
    heat_map = _shrunk(pictures / name.with_suffix(".png"))
    is_wide = outlined.shape[1] > outlined.shape[0]
    return Card(str(name.with_suffix("")), image, _inline(outlined), _inline(heat_map), is_wide)


def region_of(received: Received) -> AnomalyRegion | None:
    """Return the region of a verdict to draw; None where there is none, or it was too long to send."""
    region = received.region
    if region is None or region["counts"] is None:
        return None
    counts = bytes.fromhex(region["counts"])
    # The outline needs no boxes.
    return AnomalyRegion(region["width"], region["height"], region["area"], counts, (), region["num_components"])


def render_page(run: Run, summary: Mapping[str, Any], cards: Mapping[str, Sequence[Card]]) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": as_percent, "figure": as_figure}
    accounts: Mapping[str, CameraAccount] = run.account.cameras
    return environment.get_template("report.html.jinja").render(
        summary=summary,
        sections=[_section(summary, camera, cards[camera.camera_id]) for camera in run.cameras],
        # The module escapes what it is given; nothing in it comes from elsewhere.
        latencies=Markup(latency_chart({c.title: accounts[c.camera_id] for c in run.cameras})),  # noqa: S704
        commands=[command.split(" ") for command in run.commands],
        created_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _section(summary: Mapping[str, Any], camera: DemoCamera, cards: Sequence[Card]) -> CameraSection:
    figures = summary["cameras"][camera.camera_id]
    scores = [card.score for card in cards if card.image.verdict is not None]
    threshold = figures["threshold"] or 0.0
    by_label = {
        label: [card.score for card in cards if card.image.label == label and card.image.verdict is not None]
        for label in ("ok", "nok")
    }
    shape: Literal["wide", "tall"] = "wide" if any(card.is_wide for card in cards) else "tall"
    passed = figures["images_ok"] - figures["false_rejects"]
    found = figures["images_nok"] - figures["missed"]
    rows = [
        ScoreRow("ok parts", f"{passed} of {figures['images_ok']} passed", "ok", by_label["ok"]),
        ScoreRow("nok parts", f"{found} of {figures['images_nok']} rejected", "nok", by_label["nok"]),
    ]
    return CameraSection(
        camera,
        figures,
        groups_of(cards, SHOWN_AT_ONCE[shape]),
        # As above.
        Markup(score_histogram(rows, threshold)),  # noqa: S704
        low=min([*scores, threshold]),
        high=max([*scores, threshold]),
        shape=shape,
    )


def groups_of(cards: Sequence[Card], shown: int) -> list[Group]:
    """Arrange the cards: what is wrong first, then what was rejected, then what was passed; empty groups are left out.

    Args:
        cards: in any order.
        shown: how many of a group are seen at once; wrong verdicts are never hidden.
    """
    ordered = sorted(cards, key=lambda card: card.score, reverse=True)
    wrong = [card for card in ordered if card.verdict not in {"ok", "nok"}]
    rejected = [card for card in ordered if card.verdict == "nok"]
    passed = [card for card in ordered if card.verdict == "ok"]
    groups = [
        Group("Wrong verdicts", "Ok parts that were rejected, and defects that passed.", wrong),
        _folded("Rejected", "Defects that were found; the highest scores come first.", rejected, shown),
        _folded("Passed", "Ok parts that passed; the highest scores come first.", passed, shown),
    ]
    return [group for group in groups if group.cards]


def _folded(title: str, text: str, cards: Sequence[Card], shown: int) -> Group:
    return Group(title, text, cards[:shown], cards[shown:])


def _shrunk(path: Path) -> NDArray[np.uint8]:
    """Read a picture, small enough for the page."""
    return shrink(read_picture(path).image, PICTURE_SIDE)


def _inline(picture: NDArray[np.uint8]) -> str:
    return data_uri(picture, side=PICTURE_SIDE, quality=_JPEG_QUALITY)
