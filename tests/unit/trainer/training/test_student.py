"""The epochs of a student, on generated features: what they learn, that they repeat, and that they go on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inspector.anomaly.detectors.student_network import StudentNetwork, build_student
from inspector.anomaly.errors import ParameterError
from trainer.errors import OutputError
from trainer.training.checkpoint import FILE_NAME, Checkpoint
from trainer.training.feature_store import FeatureStore
from trainer.training.student import LEARNING_RATE, TrainedEpochs, one_cycle, train_student
from trainer.training.train_param import DLTrainParam

DEEP, FINE, GRID, IMAGES = 6, 8, (4, 6), 40
IDENTITY = {"parameters": "p", "images": "i"}


def embeddings(count: int = IMAGES, seed: int = 0) -> Tensor:
    """Deep features that vary smoothly, and fine ones that follow from them."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn((count, 1, 1, DEEP), generator=generator)
    deep = smooth + 0.02 * torch.randn((count, *GRID, DEEP), generator=generator)
    fine = torch.tanh(smooth @ torch.linspace(-1, 1, DEEP * FINE).reshape(DEEP, FINE))
    return torch.cat((deep, fine + 0.02 * torch.randn((count, *GRID, FINE), generator=generator)), dim=-1)


def train(
    *,
    embedded: Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    mask: Tensor | None = None,
    told: list[tuple[str, int, int]] | None = None,
    **values: Any,
) -> tuple[StudentNetwork, TrainedEpochs]:
    features = embeddings() if embedded is None else embedded
    network = build_student(DEEP, FINE, complexity=2, seed=0)
    with FeatureStore(len(features)) as store:
        store.append(features)
        network.learn_statistics(store.batches())
        done = train_student(
            network,
            store,
            range(len(features)),
            DLTrainParam.model_validate({"max_num_epochs": 6} | values),
            device=torch.device("cpu"),
            mask=lambda height, width: mask,
            progress=lambda *said: None if told is None else told.append(said),
            checkpoint=checkpoint,
        )
    return network, done


def assert_same(one: StudentNetwork, other: StudentNetwork) -> None:
    assert all(torch.equal(w, other.state_dict()[name]) for name, w in one.state_dict().items())


def differs(one: StudentNetwork, other: StudentNetwork) -> bool:
    return any(not torch.equal(w, other.state_dict()[name]) for name, w in one.state_dict().items())


@torch.no_grad()
def mean_error(network: StudentNetwork, embedded: Tensor) -> float:
    return float(network.errors(embedded).mean())


def test_the_error_falls_and_the_best_epoch_is_kept() -> None:
    told: list[tuple[str, int, int]] = []
    network, done = train(max_num_epochs=30, told=told)
    assert len(done.errors) == 30
    assert min(done.errors) < 0.5 * done.errors[0]
    assert done.errors[done.best_epoch - 1] == min(done.errors)
    assert not done.stopped_early
    assert mean_error(network, embeddings()) < 0.5 * done.errors[0]
    assert told[0][0].startswith("fit: error ")
    assert [said[1] for said in told[:-1]] == list(range(1, 91)), "three steps an epoch"
    assert told[-1] == (f"fit: error {min(done.errors):.4f}", 90, 90)


def test_the_same_seed_gives_the_same_weights_bit_by_bit_whatever_was_drawn_before() -> None:
    options: dict[str, Any] = {"domain_ratio": 0.5, "regularization_noise": 0.3}
    first, _ = train(**options)
    torch.rand(3)
    before = torch.get_rng_state()
    again, _ = train(**options)
    assert torch.equal(torch.get_rng_state(), before), "torch's own generator is left alone"
    assert_same(first, again)
    assert differs(first, train(**options, seed=1)[0])


@pytest.mark.parametrize(
    "option", [{"domain_ratio": 0.2}, {"regularization_noise": 0.5}, {"max_num_epochs": 7}], ids=str
)
def test_each_parameter_has_its_effect(option: dict[str, Any]) -> None:
    assert differs(train()[0], train(**option)[0])


def test_an_error_that_is_low_enough_ends_the_training() -> None:
    _, whole = train(max_num_epochs=30)
    limit = whole.errors[11]
    _, done = train(max_num_epochs=30, error_threshold=limit)
    assert done.stopped_early
    assert done.errors[-1] <= limit < min(done.errors[:-1])
    assert done.errors == whole.errors[: len(done.errors)]


def test_the_weights_are_those_of_the_best_epoch_not_of_the_last(tmp_path: Path) -> None:
    """An error that rises: by a checkpoint that says so of an epoch long ago."""
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    train(checkpoint=checkpoint, max_num_epochs=3)
    state = checkpoint.load()
    assert state is not None
    state.errors[1] = 0.0
    state.best = {name: tensor + 1 for name, tensor in state.weights.items()}
    checkpoint.save(state)
    network, done = train(checkpoint=checkpoint, max_num_epochs=5)
    assert (len(done.errors), done.best_epoch) == (5, 2)
    assert all(torch.equal(tensor, state.best[name]) for name, tensor in network.state_dict().items())


def test_positions_outside_the_domain_teach_nothing() -> None:
    mask = torch.zeros(2 * GRID[0], 2 * GRID[1], dtype=torch.bool)
    mask[:, : GRID[1]] = True
    spoilt = embeddings()
    # Fine features alone: they are targets of their own position only.
    spoilt[:, :, GRID[1] // 2 :, DEEP:] = torch.randn(IMAGES, GRID[0], GRID[1] // 2, FINE)
    network, done = train(embedded=spoilt, mask=mask)
    assert done.errors != train(embedded=spoilt)[1].errors
    with torch.no_grad():
        errors = network.errors(spoilt)
    assert float(errors[:, mask].mean()) < float(errors[:, ~mask].mean())


def test_an_error_that_is_no_number_ends_it_with_the_mend() -> None:
    with pytest.raises(ParameterError, match=r"the student's error is nan: .*lower regularization_noise"):
        train(embedded=embeddings() * torch.nan)


@pytest.mark.parametrize("total", [2, 3, 10, 150])
def test_the_learning_rate_is_torchs_one_cycle(total: int) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=total)
    for step in range(total):
        rate, beta = one_cycle(step, total)
        group = optimizer.param_groups[0]
        assert rate * LEARNING_RATE == pytest.approx(group["lr"], rel=1e-6)
        assert beta == pytest.approx(group["betas"][0], rel=1e-6)
        optimizer.step()
        if step < total - 1:
            schedule.step()


def test_a_single_step_is_a_training_too() -> None:
    _, done = train(embedded=embeddings(4), max_num_epochs=1)
    assert len(done.errors) == 1


# ----------------------------------------------------------------------------------------------------------- checkpoint

PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.unit.trainer.training.test_student import IDENTITY, train
from trainer.training.checkpoint import Checkpoint

class Killed(Checkpoint):
    def save(self, state):
        super().save(state)
        if len(state.errors) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

train(checkpoint=Killed(Path(sys.argv[1]), IDENTITY), max_num_epochs=9, domain_ratio=0.5, regularization_noise=0.2)
"""


def test_a_training_that_was_killed_goes_on_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_num_epochs": 9, "domain_ratio": 0.5, "regularization_noise": 0.2}
    root = Path(__file__).parents[4]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, capture_output=True, check=False, cwd=root
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    state = checkpoint.load()
    assert state is not None
    assert len(state.errors) == 4
    told: list[tuple[str, int, int]] = []
    resumed, done = train(checkpoint=checkpoint, told=told, **options)
    assert told[0][1] == 4 * 3 + 1, "it did not begin anew"
    whole, expected = train(**options)
    assert done == expected
    assert_same(resumed, whole)


def test_a_training_that_had_ended_is_not_done_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    first, expected = train(checkpoint=checkpoint)
    told: list[tuple[str, int, int]] = []
    again, done = train(checkpoint=checkpoint, told=told)
    assert (done, len(told)) == (expected, 1)
    assert_same(first, again)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"parameters": "q", "images": "i"}, "with other parameters; give another folder"),
        ({"parameters": "p", "images": "j"}, "with other images; give another folder"),
        ({"parameters": "q", "images": "j"}, "other parameters and images"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, identity: dict[str, str], message: str) -> None:
    train(checkpoint=Checkpoint(tmp_path, IDENTITY), max_num_epochs=1)
    with pytest.raises(OutputError, match=message):
        train(checkpoint=Checkpoint(tmp_path, identity))


def test_a_damaged_or_strange_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    train(checkpoint=Checkpoint(tmp_path, IDENTITY), max_num_epochs=1)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OutputError, match=rf"checkpoint {path} cannot be read .*delete it"):
        train(checkpoint=Checkpoint(tmp_path, IDENTITY))
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(OutputError, match="is not a checkpoint of this program"):
        train(checkpoint=Checkpoint(tmp_path, IDENTITY))


def test_a_checkpoint_of_a_wider_student_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    train(checkpoint=checkpoint, max_num_epochs=1)
    state = checkpoint.load()
    assert state is not None
    state.weights.popitem()
    checkpoint.save(state)
    with pytest.raises(OutputError, match="does not fit the student; delete it"):
        train(checkpoint=checkpoint)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/training\.safetensors cannot be written"):
        train(checkpoint=Checkpoint(tmp_path / "file", IDENTITY))


def test_what_a_killed_write_left_behind_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / f".{FILE_NAME}.{'0' * 32}.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    train(checkpoint=Checkpoint(tmp_path, IDENTITY), max_num_epochs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", FILE_NAME]
