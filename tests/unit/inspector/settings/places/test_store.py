"""Settings of the store: prefixes that are folders, one bare address, credentials that go together and stay masked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from inspector.settings.places.store import StoreSettings
from schemas.refusal import refusals

S3: dict[str, Any] = {"allowed_prefixes": ("s3://bucket/lines/",), "endpoint": "http://127.0.0.1:9000"}


def test_by_default_nothing_is_fetched() -> None:
    assert StoreSettings().allowed_prefixes == ()
    assert not StoreSettings().uses_s3


@pytest.mark.parametrize("prefix", ["s3://bucket/", "s3://bucket/a/b/", "file:///srv/frames/"])
def test_folders_are_prefixes(prefix: str) -> None:
    assert StoreSettings(**S3 | {"allowed_prefixes": (prefix,)}).allowed_prefixes == (prefix,)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"allowed_prefixes": ("s3://bucket/lines",)}, "does not end with /"),
        ({"allowed_prefixes": ("s3://bucket",)}, "with a bucket name"),
        ({"allowed_prefixes": ("file:///",)}, "has the part ''"),
        ({"allowed_prefixes": ("file:///srv/../etc/",)}, "has the part '..'"),
        ({"allowed_prefixes": ("http://host/",)}, "does not begin with s3:// or file:///"),
        ({"allowed_prefixes": ("s3://bucket/%2e/",)}, "has the part '%2e'"),
        (S3 | {"endpoint": None}, "endpoint is needed for s3:// prefixes"),
        (S3 | {"endpoint": "127.0.0.1:9000"}, "is not an address such as"),
        (S3 | {"endpoint": "ftp://host"}, "is not an address such as"),
        (S3 | {"endpoint": "http://user:pw@host"}, "is not an address such as"),
        (S3 | {"endpoint": "http://host/path"}, "is not an address such as"),
        (S3 | {"endpoint": "http://host:port"}, "is not an address such as"),
        (S3 | {"endpoint": "http://"}, "is not an address such as"),
        (S3 | {"access_key_id": "key"}, "go together"),
        ({"concurrency": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StoreSettings(**values)
    (sentence,) = refusals(caught.value)
    assert words in sentence


def test_the_secret_is_masked() -> None:
    settings = StoreSettings(**(S3 | {"access_key_id": "key", "secret_access_key": "hidden"}))
    assert "hidden" not in repr(settings) + settings.model_dump_json()
