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


@pytest.mark.parametrize("bucket", ["abc", "a" * 63, "a.b-c0"])
def test_a_bucket_has_3_to_63_characters(bucket: str) -> None:
    assert store_place(f"s3://{bucket}/a").bucket == bucket
    for wrong in ("a" * 64, "ab", "-ab", "ab-", "aBc"):
        with pytest.raises(ValueError, match="with a bucket name"):
            store_place(f"s3://{wrong}/a")


def test_a_place_may_have_1024_characters() -> None:
    longest = "file:///" + "a" * 1016
    assert store_place(longest) == StorePlace("file", "", "a" * 1016)
    with pytest.raises(ValueError, match="has 1025 characters, more than 1024"):
        store_place(longest + "a")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://bucket/a", "does not end with /"),
        ("file:///", "has the part ''"),
        ("s3://bucket//", "has the part ''"),
        ("s3://bucket/a//", "has the part ''"),
        ("file:///a/./", "has the part '.'"),
        ("file:///" + "é" * 100 + "/", "has the part '" + ascii("é" * 100)[1:80] + ";"),
    ],
)
def test_what_is_no_folder_is_said(uri: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the words are looked at
        store_place(uri, folder=True)
    assert words in str(caught.value)


def test_parts_may_hold_dots_within_and_some_signs() -> None:
    path = "a.b/_c-d/9=+,/x..y"
    assert store_place(f"s3://bucket/{path}").path == path
    assert store_place(f"s3://bucket/{path}/", folder=True).path == path + "/"
