from __future__ import annotations

from pathlib import Path

from tests.datasets import by_name, masks_of, read, refused
from tests.pictures import mask, picture


def test_parts_of_names_that_differ_are_removed_before_matching(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/crack/1_label.png")
    mask(tmp_path / "masks/dent/label_3.png")
    found = masks_of(read(parts, tmp_path / "masks", file_name_image_only="_image", file_name_anomaly_only="_label"))
    assert found["crack/1_image.png"] == "crack/1_label.png"
    assert found["crack/2_image.png"] is None
    found = masks_of(read(parts, tmp_path / "masks", file_name_image_only="_image", file_name_anomaly_only="label_"))
    assert found["dent/3_image.png"] == "dent/label_3.png", "the part may stand in front as well"


def test_masks_in_a_folder_of_their_own_are_matched_by_stem(parts: Path, tmp_path: Path) -> None:
    for name in ("2_image.png", "3_image_mask.png"):
        mask(tmp_path / "masks" / name)
    assert masks_of(read(parts, tmp_path / "masks")) == {
        "crack/1_image.png": None,
        "crack/2_image.png": "2_image.png",
        "dent/3_image.png": "3_image_mask.png",
    }


def test_a_stem_inside_one_mask_name_is_enough(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/annotation of 2_image.png")
    assert masks_of(read(parts, tmp_path / "masks"))["crack/2_image.png"] == "annotation of 2_image.png"


def test_an_exact_name_goes_before_a_part_of_one(tmp_path: Path) -> None:
    for name in ("good/a.png", "crack/1.png", "crack/11.png"):
        picture(tmp_path / "parts" / name)
    mask(tmp_path / "masks/11.png")
    assert masks_of(read(tmp_path / "parts", tmp_path / "masks")) == {"crack/1.png": None, "crack/11.png": "11.png"}


def test_among_several_the_folder_called_alike_decides(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/labels/crack/2_image.png")
    mask(tmp_path / "masks/labels/other/2_image.png")
    assert masks_of(read(parts, tmp_path / "masks"))["crack/2_image.png"] == "labels/crack/2_image.png"
    mask(tmp_path / "masks/more/crack/2_image.png")
    assert "several masks fit crack/2_image.png" in refused(parts, tmp_path / "masks")


def test_an_image_of_the_set_is_no_mask(parts: Path, tmp_path: Path) -> None:
    """It would mark nearly every pixel, and the pixel measures would be wrong without a word."""
    message = refused(parts, parts)
    assert "contains images of the data set, which are not masks: crack/1_image.png" in message
    assert "give a folder that contains only masks" in message
    (tmp_path / "linked").symlink_to(parts)
    assert "which are not masks" in refused(parts, tmp_path / "linked"), "under another path"
    (tmp_path / "linked").unlink()
    mask(tmp_path / "masks/crack/1_image.png")
    assert "which are not masks: parts/crack/1_image.png" in refused(parts, tmp_path), "beside the masks"
    found = masks_of(read(parts, tmp_path, anomaly_sub_dirs=("masks",)))
    assert found["crack/1_image.png"] == "masks/crack/1_image.png"


def test_a_list_of_masks_may_not_name_an_image(parts: Path, tmp_path: Path) -> None:
    names = ("good/1_image.png", "crack/1_image.png", "crack/2_image.png")
    listed = (None, "crack/2_image.png", None)
    assert "crack/2_image.png of anomaly_list is an image of the data set" in refused(
        parts, parts, image_list=names, anomaly_list=listed
    )
    mask(parts / "crack/1_mask.png")
    found = masks_of(read(parts, parts, image_list=names, anomaly_list=(None, "crack/1_mask.png", None)))
    assert found["crack/1_image.png"] == "crack/1_mask.png", "beside the images, where each is named"


def test_a_mask_of_another_defect_is_never_taken(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/crack/3_image.png")
    mask(tmp_path / "masks/crack/1_image.png")
    assert masks_of(read(parts, tmp_path / "masks"))["dent/3_image.png"] is None


def test_without_a_folder_named_only_the_strict_rule_counts(parts: Path) -> None:
    mask(parts / "ground_truth/2_image.png")
    assert set(masks_of(read(parts)).values()) == {None}


def test_one_mask_for_two_images_of_the_loose_rules(tmp_path: Path) -> None:
    for name in ("good/a.png", "crack/1.png", "dent/1.png"):
        picture(tmp_path / "parts" / name)
    mask(tmp_path / "masks/1.png")
    assert "mask 1.png fits both crack/1.png and dent/1.png" in refused(tmp_path / "parts", tmp_path / "masks")


def test_unmatched_images_stay_unless_asked(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/2_image.png")
    assert len(read(parts, tmp_path / "masks").samples) == 4
    fewer = read(parts, tmp_path / "masks", ignore_unmatched_images=True)
    assert set(by_name(fewer)) == {"good/1_image.png", "crack/2_image.png"}
    assert any("2 nok images without a mask are left out" in note for note in fewer.notes)
    none = read(parts, ignore_unmatched_images=True)
    assert set(by_name(none)) == {"good/1_image.png"}, "no mask at all"
    assert any("3 nok images without a mask are left out" in note for note in none.notes)


def test_halcons_region_files_are_named(mvtec: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/crack/000.png")
    (tmp_path / "masks/crack/001.hobj").write_bytes(b"region")
    assert any("crack/001.hobj" in note for note in read(mvtec, tmp_path / "masks").notes)
