"""The C programs of docs/examples read the golden results as ours does, and pass nothing that is damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from schemas import DLResultMessage, SchemaError, decode, decode_rle

ROOT = Path(__file__).parents[2]
EXAMPLES, VECTORS = ROOT / "docs/examples", ROOT / "schemas/vectors"
PART = ("line-1", "cam_A", "P-000042")
IN_TIME, TOO_LATE, TOO_EARLY = 1_760_000_000_500_000, 1_760_000_001_000_001, 1_759_999_999_999_999
# The example leaves the hash of the identity out, and says so.
NOT_RECOMPUTED = "result_foreign_id"
RESULTS = sorted(
    path.stem
    for path in VECTORS.glob("*.json")
    if path.stem not in {"headers", "result_ids"}
    and json.loads(path.read_text("utf-8"))["message"] == "DLResultMessage"
)
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on the PATH")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both programs; where the compiler brings them, with checks of every access and of arithmetic."""
    folder = tmp_path_factory.mktemp("c")
    for name in ("read_result", "gate_by_headers"):
        command = [
            str(COMPILER),
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(folder / name),
            str(EXAMPLES / f"{name}.c"),
        ]
        checked = [*command, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        if subprocess.run(checked, capture_output=True, check=False).returncode:
            subprocess.run(command, check=True)
    return folder


def read_result(programs: Path, value: bytes, *, part: tuple[str, str, str] = PART, now: int = IN_TIME) -> list[str]:
    command = [str(programs / "read_result"), *part, str(now)]
    ended = subprocess.run(command, input=value, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode().splitlines()


def by_headers(
    programs: Path, headers: list[tuple[str, str]], *, part: tuple[str, str, str] = PART, now: int = IN_TIME
) -> str:
    command = [str(programs / "gate_by_headers"), *part, str(now), *(f"{name}={value}" for name, value in headers)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", RESULTS)
def test_a_golden_result_is_read_as_ours_reads_it(programs: Path, name: str) -> None:
    value = (VECTORS / f"{name}.msgpack").read_bytes()
    said = read_result(programs, value)
    try:
        message = decode(DLResultMessage, value)
    except SchemaError:
        assert said == ["REJECT (cannot be read)"] or name == NOT_RECOMPUTED
        return
    assert said[0] == f"status {message.status}"
    assert said[-1] == ("PASS" if message.anomaly_class_id == 0 else "REJECT")
    if message.anomaly_score is not None:
        assert said[1] == f"score {message.anomaly_score:g} threshold {message.classification_threshold:g}"
    region = message.anomaly_region
    if region is not None and region.counts is not None:
        mask = decode_rle(region.counts, region.height, region.width)
        rows = [mask[y * region.width : (y + 1) * region.width] for y in range(region.height)]
        assert said[3:-1] == ["".join(".#"[pixel] for pixel in row) for row in rows]


def test_only_this_part_in_time_passes(programs: Path) -> None:
    value = (VECTORS / "result_inspected_ok.msgpack").read_bytes()
    assert read_result(programs, value)[-1] == "PASS"
    for now in (TOO_LATE, TOO_EARLY):
        assert read_result(programs, value, now=now)[-1] == "REJECT"
    for index in range(3):
        other: Any = tuple("other" if at == index else one for at, one in enumerate(PART))
        assert read_result(programs, value, part=other)[-1] == "REJECT"


def test_what_is_cut_short_or_has_something_behind_it_passes_nothing(programs: Path) -> None:
    value = (VECTORS / "result_inspected_nok_region.msgpack").read_bytes()
    ok = (VECTORS / "result_inspected_ok.msgpack").read_bytes()
    for damaged in [
        *(value[:size] for size in range(0, len(value), 7)),
        ok[:-1],
        ok + b"\xc0",
        b"\xdf\xff\xff\xff\xff",
    ]:
        assert read_result(programs, damaged) == ["REJECT (cannot be read)"]
    assert (
        ok[0] == 0xDE
    )  # a map with a count of two bytes: one more key, under which arrays lie deeper than the reader goes
    longer = b"\xde" + (int.from_bytes(ok[1:3]) + 1).to_bytes(2) + ok[3:] + b"\xa1x"
    assert read_result(programs, longer + b"\x91" * 3 + b"\xc0")[-1] == "PASS"
    assert read_result(programs, longer + b"\x91" * 20 + b"\xc0") == ["REJECT (cannot be read)"]


@pytest.mark.parametrize("case", json.loads((VECTORS / "headers.json").read_text("utf-8")), ids=lambda case: case["of"])
def test_headers_alone_say_the_same_as_the_message(programs: Path, case: dict[str, Any]) -> None:
    headers = list(case["headers"].items())
    passes = case["of"].startswith("result_") and case["headers"]["anomaly_class_id"] == "0"
    assert by_headers(programs, headers) == ("PASS" if passes else "REJECT")
    if passes:
        assert by_headers(programs, headers, now=TOO_LATE) == by_headers(programs, headers, now=TOO_EARLY) == "REJECT"
        assert by_headers(programs, headers, part=("line-1", "cam_A", "P-000043")) == "REJECT"
        for name in ("anomaly_class_id", "deadline_at", "captured_at", "part_id", "is_simulated"):
            assert by_headers(programs, [one for one in headers if one[0] != name]) == "REJECT"
            assert by_headers(programs, [*headers, (name, case["headers"][name])]) == "REJECT"
