"""The allow-list: one spelling for each place, below a prefix, and nothing else."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.store.allowed import AllowList
from inspector.store.errors import ClaimError

PREFIXES = ("s3://bucket/lines/", "file:///srv/frames/")
ALLOWED = AllowList(PREFIXES)


@pytest.mark.parametrize(
    "uri", ["s3://bucket/lines/a.png", "s3://bucket/lines/2026-11/cam_A/P-1=x+y,z.jpg", "file:///srv/frames/a/b.png"]
)
def test_what_lies_below_a_prefix_is_found(uri: str) -> None:
    found = ALLOWED.find(uri)
    assert found.uri == uri
    assert uri.endswith(found.place.path)
    assert found.place.path.startswith(found.folder.path)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/lines/../secret.png",
        "s3://bucket/lines/a/../../secret.png",
        "s3://bucket/lines/./a.png",
        "s3://bucket/lines/%2e%2e/secret.png",
        "s3://bucket/lines/%2E%2E%2Fsecret.png",
        "s3://bucket/lines/..%2fsecret.png",
        "s3://bucket/lines/%252e%252e/secret.png",
        "s3://bucket/lines//a.png",
        "s3://bucket/lines\\a.png",
        "s3://bucket/lines/..\\secret.png",
        "s3://bucket/lines/a.png?versionId=1",
        "s3://bucket/lines/a.png#x",
        "s3://bucket/lines/a.png.",
        "s3://bucket/lines/a./b.png",
        "s3://bucket/lines/.hidden",
        "s3://bucket/lines/a.png\0",
        "s3://bucket/lines/a.png\n",
        "s3://bucket/lines/a b.png",
        " s3://bucket/lines/a.png",
        "s3://bucket/lines/\u2025/a.png",
        "s3://bucket/lines/\uff0e\uff0e/a.png",
        "s3://bucket/l\u0131nes/a.png",
        "s3://bucket/lines\u2215a.png",
        "s3://bucket/lines/",
        "s3://bucket/lines",
        "s3://bucket/linesX/a.png",
        "s3://bucket/Lines/a.png",
        "s3://BUCKET/lines/a.png",
        "S3://bucket/lines/a.png",
        "s3://bucket./lines/a.png",
        "s3://bucket:80/lines/a.png",
        "s3://user@bucket/lines/a.png",
        "s3://user:secret@bucket/lines/a.png",
        "s3://evil.example/lines/a.png",
        "s3://bucket@evil/lines/a.png",
        "s3://bucket/",
        "s3:///lines/a.png",
        "s3:bucket/lines/a.png",
        "http://bucket/lines/a.png",
        "https://s3.amazonaws.com/bucket/lines/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "gs://bucket/lines/a.png",
        "ftp://bucket/lines/a.png",
        "data:image/png;base64,AAAA",
        "/srv/frames/a.png",
        "file:/srv/frames/a.png",
        "file://srv/frames/a.png",
        "file://localhost/srv/frames/a.png",
        "file://evil/srv/frames/a.png",
        "file:////srv/frames/a.png",
        "file:///srv/frames/../../etc/passwd",
        "file:///srv/frames2/a.png",
        "file:///srv/frames",
        "file:///etc/passwd",
        "file:///proc/self/environ",
        "FILE:///srv/frames/a.png",
        "s3://bucket/lines/" + "a" * 2000,
        "",
    ],
)
def test_what_is_spelt_otherwise_or_lies_elsewhere_is_refused_with_a_sentence(uri: str) -> None:
    with pytest.raises(ClaimError, match="image_uri") as caught:
        ALLOWED.find(uri)
    assert caught.value.reason == "image_refused"
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 500


def test_without_prefixes_nothing_is_allowed() -> None:
    with pytest.raises(ClaimError, match=r"store\.allowed_prefixes is empty"):
        AllowList([]).find("s3://bucket/lines/a.png")


TRICKS = st.sampled_from([*"abAZ01._-/%\\@:?# \0", "..", "%2e", "%2f", "lines", "bucket", "\uff0e", "\u2024", "\u0131"])


@given(
    st.sampled_from([*PREFIXES, "s3://", "file://", "s3://bucket/", "file:///srv/", ""]),
    st.lists(st.one_of(TRICKS, st.characters()), max_size=30).map("".join),
)
def test_whatever_is_found_stays_below_its_prefix_however_it_is_read(start: str, rest: str) -> None:
    try:
        found = ALLOWED.find(start + rest)
    except ClaimError as exc:
        assert exc.reason == "image_refused"  # noqa: PT017 most are refused
        return
    parts = urlsplit(found.uri)
    prefix = urlsplit(next(prefix for prefix in PREFIXES if found.uri.startswith(prefix)))
    assert (parts.scheme, parts.netloc) == (prefix.scheme, prefix.netloc)
    assert (parts.query, parts.fragment) == ("", "")
    assert posixpath.normpath(unquote(parts.path)) == parts.path
    assert parts.path.startswith(prefix.path)
    assert f"/{found.place.path}" == parts.path
