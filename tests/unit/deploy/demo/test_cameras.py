from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from deploy.demo.cameras import (
    BUDGET_MS,
    CAMERAS,
    apply_command,
    fit_command,
    is_ok,
    replay_command,
    results_command,
    run_command,
    settings_toml,
    topics_command,
)
from deploy.demo.show import MAX_FPS, frame_counts, steady_fps
from deploy.local.base import Broker
from inspector import cli
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.domain.mask import pixels_inside
from inspector.settings.commands import ReplayOptions, ResultsOptions, TopicsOptions
from inspector.settings.file import load_settings
from trainer.pictures.files import read_picture
from trainer.settings.commands import ApplySettings, FitSettings, parse_settings
from trainer.settings.syntax import parse_domain

ALIENS, COOKIES = CAMERAS
BROKER = Broker("Tansu (embedded)", "127.0.0.1:4711", supports_idempotence=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "inspector.toml"
    bundles = tmp_path / 'a "quoted" folder'
    path.write_text(settings_toml(BROKER, prefix="demo-1", http_port=4712, bundles=bundles), encoding="utf-8")
    return path


def test_the_inspector_takes_the_settings(config: Path, tmp_path: Path) -> None:
    settings = load_settings(config)

    assert settings.kafka.bootstrap_servers == "127.0.0.1:4711"
    assert settings.topics.frames_topic == "demo-1.frames"
    assert settings.http.port == 4712
    assert settings.models["cookies"] == tmp_path / 'a "quoted" folder' / "cookies"
    assert settings.budget_us("line1", "aliens") == BUDGET_MS * 1000


def test_idempotence_is_off_only_for_a_broker_without(config: Path) -> None:
    kafka = Broker("Apache Kafka", "127.0.0.1:4711", supports_idempotence=True)
    text = settings_toml(kafka, prefix="demo-1", http_port=0, bundles=Path("/models"))

    assert not load_settings(config).kafka.idempotent
    assert tomllib.loads(text)["kafka"]["idempotent"] is True


def test_each_camera_has_a_partition_of_its_own(config: Path) -> None:
    settings = load_settings(config)
    assert sorted(camera.partition or 0 for camera in settings.cameras) == list(
        range(settings.topics.frames_partitions)
    )


def test_the_commands_are_understood_by_those_who_take_them(config: Path) -> None:
    typed = (
        run_command(config),
        replay_command(CAMERAS[0], config, rate=3.5, count=7, first_seq=2, budget_ms=9),
        results_command(config),
        topics_command(config),
    )
    assert {command[0] for command in typed} == {"inspector"}
    run, replay, results, topics = (cli.parse_arguments(command[1:]).values for command in typed)
    assert run == {"config": str(config)}
    options = ReplayOptions.model_validate(replay)
    assert (options.rate, options.count, options.first_seq, options.budget_ms) == (3.5, 7, 2, 9)
    assert ResultsOptions.model_validate(results).config == TopicsOptions.model_validate(topics).config == config


def test_the_trainer_understands_its_commands_and_fits_with_default_settings(tmp_path: Path) -> None:
    fit = parse_settings(fit_command(ALIENS, tmp_path / "b")[1:])
    assert fit == FitSettings(images=ALIENS.images, out=tmp_path / "b", json_output=True)

    apply = parse_settings(apply_command(CAMERAS[0], tmp_path / "b", tmp_path / "p")[1:])
    assert isinstance(apply, ApplySettings)
    assert (apply.images, apply.pictures) == ([CAMERAS[0].test_folder], tmp_path / "p")


def test_the_cookies_have_a_domain_that_fits_their_pictures(tmp_path: Path) -> None:
    fit = parse_settings(fit_command(COOKIES, tmp_path / "b")[1:])
    assert isinstance(fit, FitSettings)
    assert (fit.domain_handling, fit.false_rejects) == ("keep_domain", 0.2)
    domain = ImageDomain.of_polygons(parse_domain(fit.domain or ""), image_width=384, image_height=512)
    for path in COOKIES.test_images():
        picture = read_picture(path)
        domain.check_size(picture.original_width, picture.original_height)
        mask = COOKIES.images / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        if mask.exists():
            marked = read_picture(mask).image > 0
            assert not (marked & ~pixels_inside(domain, 384, 512)).any(), f"the crack of {path.name} lies outside"


def test_the_folder_says_what_a_part_is() -> None:
    images = COOKIES.test_images()
    assert sum(map(is_ok, images)) == 14
    assert sum(not is_ok(image) for image in images) == 40


@pytest.mark.parametrize(("frames", "cycles"), [(1, 1), (128, 1), (129, 2), (1_000, 8), (1_024, 8)])
def test_cameras_show_whole_cycles_and_enough_frames(frames: int, cycles: int) -> None:
    images = dict(zip(CAMERAS, (74, 54), strict=True))

    counts = frame_counts(images, frames)

    assert counts == {ALIENS: cycles * 74, COOKIES: cycles * 54}
    assert sum(counts.values()) >= frames


@pytest.mark.parametrize(
    ("capacity_fps", "fps"),
    [
        (100.0, MAX_FPS),  # slow enough to be watched
        (40.0, 20.0),  # half of what the machine can do
        (20.0, 13.5),  # 1,080 frames take no longer than 80 s
        (10.0, 8.0),  # but never more than a machine keeps up with
    ],
)
def test_the_rate_suits_the_machine(capacity_fps: float, fps: float) -> None:
    assert steady_fps(capacity_fps, 1_080) == pytest.approx(fps)
