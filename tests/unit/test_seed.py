"""trainer/SEED.md names functions and tests: all of them exist, and nothing that the chapter names is missing."""

from __future__ import annotations

import ast
import importlib
import re
from functools import lru_cache
from pathlib import Path

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


def rows() -> list[tuple[str, str, str]]:
    return [(m["seed"], m["here"], m["test"]) for m in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


@lru_cache
def functions_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_row_of_a_table_is_read() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    heads = sum(line.startswith("|---") for line in lines)
    assert len(rows()) == len(lines) - 2 * heads
    assert len(rows()) > 50


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_a_row_names_what_exists(row: tuple[str, str, str]) -> None:
    _, here, test = row
    for name in OWN.findall(here):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    path, _, function = test.partition("::")
    assert function.startswith("test_")
    assert function in functions_in(path), test


@pytest.mark.parametrize("name", NAMED_BY_THE_CHAPTER)
def test_nothing_that_the_chapter_names_is_missing(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", seed) for seed, _, _ in rows())
