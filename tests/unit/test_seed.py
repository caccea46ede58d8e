"""trainer/SEED.md names functions and tests: all are public, pytest runs the tests, and nothing that the chapter names is missing."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "trainer" / "SEED.md"
ROW = re.compile(r"^\| (?P<seed>[^|]+) \| (?P<here>[^|]+) \| `(?P<test>[^`|]+)` \|$", re.MULTILINE)
OWN = re.compile(r"`((?:inspector|trainer)\.[\w.]+)`")

NAMED_BY_THE_CHAPTER = (
    "read_dl_dataset_anomaly", "split_dl_dataset", "preprocess_dl_dataset", "create_dl_preprocess_param",
    "create_dl_preprocess_param_from_model", "create_dl_train_param", "train_dl_model", "train_dl_model_anomaly_dataset",
    "evaluate_dl_model", "gen_dl_samples_from_images", "preprocess_dl_samples", "read_dl_model", "get_dl_model_param",
    "set_dl_model_param", "apply_dl_model", "compute_dl_anomaly_thresholds", "threshold_dl_anomaly_results",
    "DLDataset", "DLPreprocessParam", "TrainParam", "TrainingParam", "GenParamEval", "EvaluationResults", "DLSample",
    "DLResult", "DLTrainResult", "image_label", "anomaly_file_name", "anomaly_score", "anomaly_image", "anomaly_class",
    "anomaly_class_id", "anomaly_region", "batch_size_multiplier",
)  # fmt: skip


COLLECT = """
import sys, pytest
from tests.unit.test_seed import never_passes

class WithoutMarked:
    @pytest.hookimpl(tryfirst=True)  # before tests/conftest.py marks what needs a GPU where there is none
    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if not never_passes(item)]

sys.exit(pytest.main(sys.argv[1:], plugins=[WithoutMarked()]))
"""


def never_passes(item: pytest.Item) -> bool:
    """Whether a test is marked to be skipped or to fail, whatever machine it runs on."""
    return any(
        mark.name == "skip" or (mark.name == "xfail" and not mark.args and "condition" not in mark.kwargs)
        for mark in item.iter_markers()
    )


def rows() -> list[tuple[str, str, str]]:
    return [(m["seed"], m["here"], m["test"]) for m in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


class Collected(NamedTuple):
    """What pytest finds in files: the tests, a parametrized one once, and the files that it skips as a whole.

    A test whose every case is marked to be skipped or to fail, whatever machine it runs on, is none.
    """

    tests: frozenset[str]
    skipped: frozenset[str]


def collect(paths: Iterable[str], root: Path = ROOT) -> Collected:
    """By a pytest of its own."""
    options = ("--collect-only", "-q", "-rs", "-p", "no:cacheprovider", "--import-mode=importlib")
    command = [sys.executable, "-c", COLLECT, *options, *sorted(paths)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(ROOT)
    found = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    # 5: nothing is collected, as where every file is skipped.
    assert found.returncode in {0, 5}, found.stdout + found.stderr
    lines = found.stdout.splitlines()
    tests = frozenset(line.partition("[")[0] for line in lines if re.match(r"[\w/]+\.py::", line))
    return Collected(tests, frozenset(re.findall(r"^SKIPPED \[\d+\] ([\w/]+\.py):\d+: ", found.stdout, re.MULTILINE)))


@pytest.fixture(scope="module")
def collected(request: pytest.FixtureRequest) -> Collected:
    """What this run has collected tells of most tests; the files of the others, of all if this module runs alone, are collected anew."""
    here = frozenset(item.nodeid.partition("[")[0] for item in request.session.items if not never_passes(item))
    missing = {test.partition("::")[0] for _, _, test in rows() if test not in here}
    found = collect(missing) if missing else Collected(frozenset(), frozenset())
    return Collected(here | found.tests, found.skipped)


def test_every_row_of_a_table_is_read() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    heads = sum(line.startswith("|---") for line in lines)
    assert len(rows()) == len(lines) - 2 * heads
    assert len(rows()) > 50


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_a_row_names_what_exists(row: tuple[str, str, str], collected: Collected) -> None:
    _, here, test = row
    for name in OWN.findall(here):
        module, _, attribute = name.rpartition(".")
        assert attribute in importlib.import_module(module).__all__, name
    path = test.partition("::")[0]
    if path in collected.skipped:
        pytest.skip(f"{path} is skipped here, so nothing is said of its tests")
    assert test in collected.tests, f"pytest runs no {test}, or it is marked to be skipped or to fail"


PLAIN = {
    "test_some.py": (
        "import pytest\n"
        "def test_plain():\n    def test_nested(): pass\n"
        "def _test_private(): pass\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_several(n): pass\n"
        "class Helper:\n    def test_of_no_test_class(self): pass\n"
    ),
    "test_other.py": "import pytest\npytest.importorskip('not_installed')\ndef test_x(): pass\n",
}
MARKED = {
    "conftest.py": (
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if item.name == 'test_gpu': item.add_marker(pytest.mark.skip(reason='no CUDA device here'))\n"
    ),
    "test_some.py": (
        "import pytest\n"
        "@pytest.mark.skip(reason='later')\ndef test_skipped(): pass\n"
        "@pytest.mark.skip\nclass TestAll:\n    def test_in_a_skipped_class(self): pass\n"
        "@pytest.mark.xfail(strict=True)\ndef test_failing(): assert False\n"
        "@pytest.mark.parametrize('n', [pytest.param(1, marks=pytest.mark.skip)])\ndef test_no_case(n): pass\n"
        "@pytest.mark.parametrize('n', [1, pytest.param(2, marks=pytest.mark.skip)])\ndef test_one_case(n): pass\n"
        "@pytest.mark.skipif(True, reason='no CUDA device here')\ndef test_here_and_there(): pass\n"
        "@pytest.mark.xfail(True, reason='an old kernel')\ndef test_fails_here_and_there(): pass\n"
        "def test_gpu(): pass\n"
    ),
    "test_other.py": "import pytest\npytestmark = pytest.mark.skip\ndef test_x(): pass\n",
}


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """What is found in modules of every kind."""
    root = tmp_path_factory.mktemp("tests")
    for folder, files in (("plain", PLAIN), ("marked", MARKED)):
        (root / folder).mkdir()
        for name, content in files.items():
            (root / folder / name).write_text(content)
    return collect(["plain", "marked"], root)


def test_only_what_pytest_runs_is_a_test(tried: Collected) -> None:
    found = {test for test in tried.tests if test.startswith("plain/")}
    assert found == {"plain/test_some.py::test_plain", "plain/test_some.py::test_several"}
    assert tried.skipped == {"plain/test_other.py"}


def test_what_is_marked_to_be_skipped_or_to_fail_is_no_test(tried: Collected) -> None:
    names = ("test_one_case", "test_here_and_there", "test_fails_here_and_there", "test_gpu")
    found = {test for test in tried.tests if test.startswith("marked/")}
    assert found == {f"marked/test_some.py::{name}" for name in names}


@pytest.mark.parametrize("name", NAMED_BY_THE_CHAPTER)
def test_nothing_that_the_chapter_names_is_missing(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", seed) for seed, _, _ in rows())
