"""Settings: what is refused, and what follows from what was set."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from inspector.settings.kafka import KafkaSettings
from inspector.settings.section import MIB
from inspector.settings.settings import CameraSettings, Settings
from inspector.settings.topics import TopicSettings

CAMERA = {"line_id": "L1", "camera_id": "C1", "model": "m"}


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"models": {"m": "/bundles/m"}, "cameras": [CAMERA]} | sections)


def test_defaults_are_a_whole() -> None:
    defaults = Settings()
    assert defaults.cameras == ()
    assert defaults.topics.frames_topic == "inspection.frames"
    assert defaults.drain_timeout_s * 1000 < defaults.kafka.rebalance_timeout_ms < defaults.kafka.request_timeout_ms


def test_settings_do_not_read_the_environment_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECTOR_DEVICE", "cuda")
    assert Settings().device == "cpu"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().kafka.group_id = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"kafka": {"rebalance_timeout_ms": 40_000}}, "request_timeout_ms must be more than rebalance_timeout_ms"),
        ({"drain_timeout_s": 30}, "drain_timeout_s must be less than kafka.rebalance_timeout_ms"),
        ({"cameras": [CAMERA, CAMERA]}, "camera L1/C1 is listed twice"),
        (
            {"cameras": [CAMERA | {"model": "x"}]},
            r"camera L1/C1 uses model 'x', which is not in \[models\] .*contains m\)",
        ),
        ({"cameras": [CAMERA], "models": {}}, r"\(it contains none\)"),
        (
            {"cameras": [CAMERA | {"partition": 8}]},
            "uses partition 8, but topics.frames_partitions is 8, so the last is 7",
        ),
        ({"cameras": [CAMERA | {"line_id": "a b"}]}, "line_id"),
        ({"cameras": [CAMERA | {"classification_threshold": 1.0}]}, "classification_threshold"),
        ({"cameras": [CAMERA | {"classification_threshold": float("nan")}]}, "classification_threshold"),
        ({"cameras": [CAMERA | {"budget_ms": 0}]}, "budget_ms"),
        ({"cameras": [CAMERA | {"weight": 0}]}, "weight"),
        ({"cameras": [CAMERA | {"policy": "newest"}]}, "'inspect_all' or 'freshest_first'"),
        ({"kafka": {"max_partition_fetch_bytes": 0}}, "max_partition_fetch_bytes"),
        (
            {"kafka": {"security_protocol": "SASL_SSL"}},
            "SASL_SSL needs sasl_username, and sasl_password or sasl_password_file",
        ),
        ({"kafka": {"ssl_certfile": "/c.pem"}}, "ssl_certfile and ssl_keyfile go together"),
        ({"limits": {"max_frame_bytes": 300 * MIB}}, "at least two frames"),
        ({"device": "tpu"}, "device"),
        ({"batching": {"max_batch_size": 0}}, "max_batch_size"),
        ({"http": {"port": 70_000}}, "port"),
        ({"watchdog": {"send_s": 185}}, "watchdog.send_s must be above 185 s, within which a send fails by itself"),
        ({"watchdog": {"loop_s": 1}}, "loop_s"),
    ],
)
def test_what_cannot_work_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**sections)


def test_password_is_masked_wherever_settings_are_shown() -> None:
    kafka = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "top-secret"}
    shown = settings(kafka=kafka)
    assert "top-secret" not in repr(shown) + str(shown.model_dump()) + shown.model_dump_json()
    with pytest.raises(ValidationError) as refused:
        settings(kafka=kafka | {"sasl_pasword": "top-secret"})
    assert "top-secret" not in str(refused.value)


def test_fetches_are_of_one_mebibyte_however_large_a_message_may_be() -> None:
    assert settings(limits={"max_frame_bytes": 100_000}).partition_fetch_bytes == MIB
    assert settings(limits={"max_frame_bytes": 4 * MIB}).partition_fetch_bytes == MIB
    assert settings(kafka={"max_partition_fetch_bytes": 16 * MIB}).partition_fetch_bytes == 16 * MIB


def test_budget_is_the_cameras_own_or_the_default() -> None:
    both = settings(
        cameras=[CAMERA, CAMERA | {"camera_id": "C2", "budget_ms": 70}], deadline={"default_budget_ms": 900}
    )
    assert both.budget_us("L1", "C1") == 900_000
    assert both.budget_us("L1", "C2") == 70_000
    assert both.budget_us("L9", "C9") == 900_000


def test_cameras_are_found_by_both_ids() -> None:
    known = settings()
    assert known.camera("L1", "C1") == CameraSettings.model_validate(CAMERA)
    assert known.camera("C1", "L1") is None
    assert known.cameras[0].key == "L1/C1"


def test_results_topic_may_depend_on_the_camera() -> None:
    one = TopicSettings(prefix="plant7")
    assert one.results_topic("L1", "C1") == one.results_topic("L2", "C2") == "plant7.results"
    assert not one.results_per_camera
    many = TopicSettings(results="{prefix}.results.{line_id}.{camera_id}")
    assert many.results_topic("L1", "C1") == "inspection.results.L1.C1"
    assert many.results_per_camera


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"frames": "{prefix}.{camera_id}"}, r"frames = .*only \{prefix\} may be used in braces"),
        ({"results": "{0}"}, r"only \{prefix\}, \{line_id\}, \{camera_id\} may"),
        ({"results": "{prefix"}, "may be used in braces"),
        ({"frames": "a/b"}, "is not a topic name"),
        ({"frames": "same", "results": "same"}, "seven different topics"),
        ({"deadletters": "{prefix}.frames"}, "seven different topics"),
        ({"prefix": "a b"}, "prefix"),
        ({"prefix": "a" * 100, "results": "{prefix}{prefix}{prefix}"}, "is not a topic name"),
    ],
)
def test_impossible_topic_names_are_refused(names: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TopicSettings.model_validate(names)


def test_scram_is_complete_with_user_and_password() -> None:
    kafka = KafkaSettings.model_validate(
        {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "camera", "sasl_password": "x"}
    )
    assert kafka.sasl_mechanism == "SCRAM-SHA-512"


def test_a_deployment_is_named_after_its_group_unless_it_has_a_name() -> None:
    assert Settings().deployment_name == "line-inspector"
    assert Settings.model_validate({"kafka": {"group_id": "plant 1/line.2"}}).deployment_name == "plant_1_line_2"
    assert Settings.model_validate({"deployment": "night"}).deployment_name == "night"
    with pytest.raises(ValidationError):
        Settings.model_validate({"deployment": "no spaces"})


def test_a_way_to_log_in_that_never_renews_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="sasl_mechanism"):
        Settings.model_validate({"kafka": {"sasl_mechanism": "OAUTHBEARER"}})
