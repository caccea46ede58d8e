"""TLS, mutual TLS and SCRAM on Apache Kafka: who comes in, and who is refused with which sentence, also by `config --check --connect`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from inspector import cli
from inspector.bus.rights import Acl
from inspector.checks.broker import broker_faults
from inspector.clients.acls import apply_acls
from inspector.clients.results import read_results
from inspector.clients.topics import apply_topics
from inspector.errors import AccessError
from tests.secure import MAY_PASS, REFUSED, Door, SecureBroker, shown, wrong

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PREFIX = "doors"


@pytest.fixture(scope="module")
def broker(secure_broker: SecureBroker) -> SecureBroker:
    admin = secure_broker.settings(None, prefix=PREFIX)
    topics = [("frames", "Read"), ("results", "Write"), ("results", "Read"), ("deadletters", "Write")]
    acls = [Acl("User:worker", right, "topic", f"{PREFIX}.{name}") for name, right in topics]  # type: ignore[arg-type]
    asyncio.run(apply_topics(admin, replication="auto"))
    asyncio.run(apply_acls(admin, [*acls, Acl("User:worker", "Read", "group", "readers")]))
    return secure_broker


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("door", ["sasl", "sasltls"])
async def test_a_password_opens(broker: SecureBroker, door: Door, mechanism: str) -> None:
    assert await broker_faults(broker.settings("worker", door, prefix=PREFIX, sasl_mechanism=mechanism)) == []


async def test_a_password_in_a_file_opens(broker: SecureBroker, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(broker.secret_of("worker") + "\n")
    settings = broker.settings("worker", "sasltls", prefix=PREFIX, sasl_password=None, sasl_password_file=str(file))
    assert await broker_faults(settings) == []


async def test_a_certificate_opens_and_names_the_user(broker: SecureBroker) -> None:
    mine = broker.settings("worker", "mtls", prefix=PREFIX, **shown(broker.client("worker")))
    assert await broker_faults(mine) == []
    other = broker.settings("worker", "mtls", prefix=PREFIX, **shown(broker.client("nobody")))
    faults = await broker_faults(other)
    assert len(faults) == 4
    assert all("the user of certificate" in fault and "nobody-cert.pem" in fault for fault in faults)


@pytest.mark.parametrize(("case", "door", "sentence"), [*REFUSED, *MAY_PASS], ids=lambda value: str(value)[:30])
async def test_each_refusal_has_its_own_sentence(broker: SecureBroker, case: str, door: Door, sentence: str) -> None:
    (fault,) = await broker_faults(broker.settings(None, door, prefix=PREFIX, **wrong(broker, case)))
    assert fault.startswith("kafka: could not connect to ")
    assert sentence in fault
    assert "canary" not in fault


@pytest.mark.parametrize(("case", "door", "sentence"), REFUSED[:3], ids=lambda value: str(value)[:30])
async def test_a_client_ends_with_it_too(broker: SecureBroker, case: str, door: Door, sentence: str) -> None:
    with pytest.raises(AccessError) as caught:
        await anext(read_results(broker.settings(None, door, prefix=PREFIX, **wrong(broker, case))))
    assert sentence in str(caught.value)


def test_check_and_connect_say_what_is_wrong_with_the_door(
    broker: SecureBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "inspector.toml"
    old = broker.authority.issue("old-client", "old.example", age_days=30, lasts_days=20)
    file.write_text(
        f'[kafka]\nbootstrap_servers = "{broker.address("mtls")}"\nsecurity_protocol = "SSL"\n'
        f'ssl_cafile = "{broker.authority.file}"\nssl_certfile = "{old.certificate}"\nssl_keyfile = "{old.key}"\n'
        f'[topics]\nprefix = "{PREFIX}"\n'
    )
    assert cli.main(["config", "--check", str(file), "--connect"]) == cli.EXIT_USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert f"kafka.ssl_certfile: {old.certificate} has expired on " in lines[0]
    assert "refuses the certificate of kafka.ssl_certfile" in lines[1]
