"""Chooses the broker for a test, a benchmark or the demo: the first that is there.

1. `KAFKA_BOOTSTRAP`: one that runs already. It is used as it is, and left as it is but for the topics made.
2. `KAFKA_HOME`, or `../shared/kafka` beside the checkout: Apache Kafka's jars, started for the occasion.
3. The embedded broker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.base import Broker, BrokerStartError, answers
from deploy.local.kafka import running_kafka
from deploy.local.tansu import running_tansu

CHECKOUT = Path(__file__).resolve().parents[2]


def kafka_home() -> Path | None:
    """Return the folder of Apache Kafka's jars, or None where there is none.

    Raises:
        BrokerStartError: KAFKA_HOME is set and holds none.
    """
    named = os.environ.get("KAFKA_HOME")
    home = Path(named) if named else CHECKOUT.parent / "shared" / "kafka"
    if any((home / "libs").glob("kafka-clients-*.jar")):
        return home
    if named:
        raise BrokerStartError(f"KAFKA_HOME={named} holds no libs/kafka-clients-*.jar; see deploy/local/pom.xml")
    return None


@contextmanager
def running_kafka_broker(folder: Path, *, properties: Mapping[str, str] | None = None) -> Iterator[Broker]:
    """Apache Kafka for the duration of a block: a running one, or one started in `folder` (empty, ours).

    Args:
        folder: for what a started one writes.
        properties: settings that replace or add to those of `kafka.node_properties`, for a started one.

    Raises:
        BrokerStartError: There is none, or it does not start or answer.
    """
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
    if bootstrap:
        if not answers(bootstrap):
            raise BrokerStartError(f"no broker answers at KAFKA_BOOTSTRAP={bootstrap}")
        yield Broker(f"Kafka at {bootstrap}", bootstrap, supports_idempotence=True)
        return
    home = kafka_home()
    if home is None:
        raise BrokerStartError(
            "no Apache Kafka: set KAFKA_BOOTSTRAP, or KAFKA_HOME to a folder made with deploy/local/pom.xml"
        )
    with running_kafka(home, folder, properties=properties) as broker:
        yield broker


@contextmanager
def running_broker(folder: Path, *, embedded: bool = False) -> Iterator[Broker]:
    """The first broker that is there, for the duration of a block.

    Args:
        folder: an empty folder of ours for what a started one writes.
        embedded: whether to take the embedded one even where there is Apache Kafka; KAFKA_BOOTSTRAP and KAFKA_HOME,
            being somebody's wish, still win.

    Raises:
        BrokerStartError: The chosen one cannot be started or does not answer.
    """
    wished = os.environ.get("KAFKA_BOOTSTRAP") or os.environ.get("KAFKA_HOME")
    if wished or (not embedded and kafka_home() is not None):
        with running_kafka_broker(folder) as broker:
            yield broker
    else:
        with running_tansu(folder) as broker:
            yield broker
