"""The Kubernetes objects: valid by Kubernetes' own schemas and KEDA's, and in agreement with each other, the settings and the code."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from typing import Any

import cloudcoil.models.keda.v1alpha1
import kubernetes_validate
import pytest
import yaml

from deploy.images.build import IMAGES, version
from deploy.local.broker import CHECKOUT
from inspector.bus.connect import FETCH_BYTES
from inspector.bus.producer import SEND_BATCH_BYTES
from inspector.cli import parse_arguments
from inspector.inflight.budget import memory_bound_bytes
from inspector.settings.file import load_settings
from inspector.watchdog.watchdog import LEAVE_S
from trainer.settings.commands import FitSettings, parse_settings

FOLDER = CHECKOUT / "deploy" / "kubernetes"
KUBERNETES = "1.34"
KEDA = "keda.sh/v1alpha1"
MOST_SILENCE = 0.01
"""Of the time, for steps down."""

IDLE_BYTES = 1 << 30
"""Of an inspector with a model and nothing to do: 600 MiB, and more."""

Object = dict[str, Any]


def objects() -> list[Object]:
    files = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [one for file in files for one in yaml.safe_load_all((FOLDER / file).read_text())]


def named(kind: str, name: str | None = None) -> Object:
    (found,) = [one for one in objects() if one["kind"] == kind and name in {None, one["metadata"]["name"]}]
    return found


def pod(kind: str) -> Object:
    spec = named(kind)["spec"]
    template: Object = (spec if kind == "Deployment" else spec["jobTemplate"]["spec"])["template"]
    return template


def built() -> list[Object]:
    """What `kubectl apply -k` would send."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl here, so kustomize itself is not asked")
    done = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def judge(one: Object) -> None:
    """Refuse what Kubernetes or KEDA would refuse, unknown keys included."""
    if one["apiVersion"] == KEDA:
        # The models pass over keys that they do not know: what comes out again is what they knew.
        model = getattr(cloudcoil.models.keda.v1alpha1, one["kind"]).model_validate(one)
        assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == one
    else:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_every_file_of_the_folder_is_used_and_every_object_valid() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*kustomization["resources"], "kustomization.yaml"}
    for one in objects():
        judge(one)


def test_what_kustomize_makes_is_valid_and_has_the_images_of_this_version() -> None:
    made = built()
    assert len(made) == len(objects()) + 1, "and the settings"
    for one in made:
        judge(one)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "line-inspector"
    images = {container["image"] for one in made for container in containers(one)}
    assert images == {f"{name}:{version()}-cpu" for name in IMAGES.values()}


def containers(one: Object) -> list[Object]:
    spec = one.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    found: list[Object] = spec.get("template", {}).get("spec", {}).get("containers", [])
    return found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "triggerz"), []),
        (("spec", "minReplicaCount"), "two"),
        (("spec", "advanced", "horizontalPodAutoscalerConfig", "behaviour"), {}),
    ],
)
def test_a_mistake_in_a_scaled_object_is_found(path: tuple[str, ...], value: object) -> None:
    scaled = named("ScaledObject")
    place = scaled
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises((AssertionError, ValueError)):
        judge(scaled)


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_a_container_may_do_nothing_but_its_work(kind: str) -> None:
    spec = pod(kind)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    claims = {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
    assert claims <= {one["metadata"]["name"] for one in objects() if one["kind"] == "PersistentVolumeClaim"}


def test_names_and_labels_that_refer_to_each_other_agree() -> None:
    deployment, labels = named("Deployment"), pod("Deployment")["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert named("Service")["spec"]["selector"] == labels
    assert named("NetworkPolicy", "inspector")["spec"]["podSelector"]["matchLabels"] == labels
    assert named("ScaledObject")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "an apply would undo the scaling"
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    (settings,) = kustomization["configMapGenerator"]
    volumes = {volume["name"]: volume for volume in pod("Deployment")["spec"]["volumes"]}
    assert volumes["settings"]["configMap"]["name"] == settings["name"]
    (trigger,) = named("ScaledObject")["spec"]["triggers"]
    authentication = named("TriggerAuthentication", trigger["authenticationRef"]["name"])
    secrets = {one["name"] for one in authentication["spec"]["secretTargetRef"]}
    assert secrets == {volumes["secrets"]["secret"]["secretName"]}


def test_the_scaling_knows_the_settings() -> None:
    settings = load_settings(FOLDER / "inspector.toml")
    spec = named("ScaledObject")["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["bootstrapServers"] == settings.kafka.bootstrap_servers
    assert trigger["metadata"]["consumerGroup"] == settings.kafka.group_id
    assert trigger["metadata"]["topic"] == settings.topics.frames_topic
    assert spec["maxReplicaCount"] == settings.topics.frames_partitions


def test_a_step_down_waits_as_long_as_what_it_costs_asks_for() -> None:
    measured = json.loads((CHECKOUT / "tests/chaos/results/kill.json").read_text())
    (silences,) = [row["details"]["others_s"] for row in measured["rows"] if "others_s" in row["details"]]
    least_s = max(silences) / MOST_SILENCE
    behavior = named("ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= least_s
    (policy,) = behavior["scaleDown"]["policies"]
    assert policy["value"] / policy["periodSeconds"] <= 1 / least_s
    settings = load_settings(FOLDER / "inspector.toml")
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] * 1000 >= settings.kafka.rebalance_timeout_ms


def test_the_inspector_has_the_time_that_its_end_takes_and_answers_where_it_is_asked() -> None:
    settings, spec = load_settings(FOLDER / "inspector.toml"), pod("Deployment")["spec"]
    assert spec["terminationGracePeriodSeconds"] > settings.drain_timeout_s + LEAVE_S
    (container,) = spec["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == settings.http.port
    assert not settings.http.host.startswith("127."), "the probes come from outside"
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: (probe["path"], probe["port"]) for name, probe in probes.items()} == {
        "startup": ("/healthz", port["name"]),
        "liveness": ("/healthz", port["name"]),
        "readiness": ("/readyz", port["name"]),
    }
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= settings.watchdog.load_s


def test_memory_has_room_for_what_the_settings_allow() -> None:
    settings = load_settings(FOLDER / "inspector.toml")
    (container,) = pod("Deployment")["spec"]["containers"]
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "3Gi"
    cores = int(resources["requests"]["cpu"])
    bound = memory_bound_bytes(
        settings,
        partitions=settings.topics.frames_partitions,
        workers=cores,
        device_threads=cores,
        domains=len(settings.models),
        fetch_bytes=FETCH_BYTES,
        send_bytes=SEND_BATCH_BYTES,
    )
    assert bound + IDLE_BYTES < 3 << 30


def test_the_commands_are_ones_that_the_programs_have() -> None:
    (container,) = pod("Deployment")["spec"]["containers"]
    given = parse_arguments(container["args"])
    assert given.command == "run"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(given.values["config"]) in mounts
    table = tomllib.loads((FOLDER / "inspector.toml").read_text())
    files = [table["kafka"]["sasl_password_file"], table["kafka"]["ssl_cafile"], table["http"]["token_file"]]
    files += table["models"].values()
    assert all(any(file.startswith(f"{mount}/") for mount in mounts) for file in files)
    (container,) = pod("CronJob")["spec"]["containers"]
    assert isinstance(parse_settings(container["args"]), FitSettings)
