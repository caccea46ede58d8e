"""The one spelling of a place, for whoever writes one."""

from __future__ import annotations

import pytest

from schemas.image_uri import StorePlace, store_place


def test_places_and_folders_are_taken_apart() -> None:
    assert store_place("s3://bucket/a/b.png") == StorePlace("s3", "bucket", "a/b.png")
    assert store_place("file:///srv/b.png") == StorePlace("file", "", "srv/b.png")
    assert store_place("s3://bucket/", folder=True) == StorePlace("s3", "bucket", "")
    assert store_place("file:///srv/", folder=True) == StorePlace("file", "", "srv/")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://host/a", "does not begin with s3:// or file:///"),
        ("s3://ab/a", "with a bucket name"),
        ("s3://a..b/a", "with a bucket name"),
        ("s3://bucket", "with a bucket name"),
        ("s3://bucket/", "has the part ''"),
        ("file:///a/../b", "has the part '..'"),
        ("file:///" + "a" * 1024, "has 1032 characters, more than 1024"),
    ],
)
def test_what_is_no_place_is_said(uri: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the words are looked at
        store_place(uri)
    assert words in str(caught.value)
