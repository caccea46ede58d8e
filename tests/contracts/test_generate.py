from __future__ import annotations

from pathlib import Path

import pytest

from schemas import generate


def test_the_json_schemas_in_the_repository_are_fresh() -> None:
    assert generate.stale_files() == [], "run python -m schemas.generate"


def test_every_json_file_belongs_to_a_message() -> None:
    assert {p.stem for p in generate.JSON_FOLDER.iterdir()} == {m.__name__ for m in generate.MESSAGES}


def test_check_finds_a_stale_and_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "json"
    assert generate.main(["--folder", str(folder), "--check"]) == 1
    assert not folder.exists()
    assert generate.main(["--folder", str(folder)]) == 0
    assert generate.main(["--folder", str(folder), "--check"]) == 0
    (folder / "CameraFrame.json").write_text("{}")
    capsys.readouterr()
    assert generate.main(["--folder", str(folder), "--check"]) == 1
    assert "CameraFrame.json is stale: run python -m schemas.generate" in capsys.readouterr().out
    assert (folder / "CameraFrame.json").read_text() == "{}"
    assert generate.write_files(folder) == [folder / "CameraFrame.json"]
    assert generate.stale_files(folder) == []


def test_readers_are_told_to_allow_unknown_keys_and_to_insist_on_the_version() -> None:
    for message in generate.MESSAGES:
        schema = generate.json_schema(message)
        assert '"additionalProperties": false' not in schema
        assert '"required": [\n    "v",' in schema
