from __future__ import annotations

from pathlib import Path

import pytest

from schemas.archive.place import archive_place, archive_url, is_url


def test_a_place_in_a_store_has_one_spelling() -> None:
    assert (
        archive_url("s3://bucket/plant/archive/")
        == archive_url("s3://bucket/plant/archive")
        == "s3://bucket/plant/archive"
    )
    assert archive_url("s3://bucket/") == "s3://bucket"


@pytest.mark.parametrize(
    "place", ["s3://", "s3://B/x", "s3://bucket/a//b", "s3://bucket/../x", "gs://bucket/x", "s3://bucket/a b", "folder"]
)
def test_another_one_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="is neither a folder nor of the form s3://bucket/prefix"):
        archive_url(place)


def test_a_folder_is_no_url() -> None:
    assert [is_url(place) for place in ("/srv/archive", "archive", "C:/archive", "s3://bucket", "gs://bucket")] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_a_place_is_a_path_or_a_text() -> None:
    assert archive_place("archive") == archive_place(Path("archive")) == Path("archive")
    assert archive_place("s3://bucket/plant/") == "s3://bucket/plant"
    with pytest.raises(ValueError, match="'gs://bucket' is neither a folder nor"):
        archive_place("gs://bucket")
