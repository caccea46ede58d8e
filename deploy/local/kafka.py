"""One node of Apache Kafka in KRaft mode, on free loopback ports, from a folder of jars.

The folder comes from `pom.xml` beside this file and Maven; nothing is installed.
"""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.base import LOOPBACK, Broker, BrokerProcess, BrokerStartError, free_port
from deploy.local.java import find_java

JAVA_OPTIONS = ("-Xms256m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""For a node that lives minutes beside what it serves: no compiling for the long run, no threads that collect garbage."""

FORMAT_TIMEOUT_S = 60.0

_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=STDOUT
appender.console.type=Console
appender.console.name=STDOUT
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
"""


def node_properties(port: int, controller_port: int, data: Path) -> dict[str, str]:
    """Return the settings of a single node that takes frames of up to 16 MiB and loses no time on waiting for peers."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller_port}",
        "listeners": f"CLIENTS://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"CLIENTS://{LOOPBACK}:{port}",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "message.max.bytes": str(16 * 1024 * 1024),
        "replica.fetch.max.bytes": str(16 * 1024 * 1024),
        "log.segment.bytes": str(128 * 1024 * 1024),
        # A killed broker that comes back is let in after its old session: 3 s instead of 9.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }


class KafkaNode:
    """A node with a data folder of its own; it can be stopped, killed and started again on the same port and data."""

    def __init__(
        self,
        home: Path,
        folder: Path,
        *,
        properties: Mapping[str, str] | None = None,
        format_arguments: Sequence[str] = (),
    ) -> None:
        """Format the storage; nothing listens before `start`.

        Args:
            home: folder whose `libs/` holds Kafka's jars.
            folder: an empty folder for settings, data and log.
            properties: settings that replace or add to `node_properties`.
            format_arguments: for the storage tool, such as `--add-scram`.

        Raises:
            BrokerStartError: No Java, no jars, or the storage cannot be formatted.
        """
        self.version = kafka_version(home)
        self.port = free_port()
        self._folder = folder
        self._process: BrokerProcess | None = None
        data = folder / "data"
        settings = node_properties(self.port, free_port(), data) | dict(properties or {})
        self._properties = folder / "server.properties"
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        logging = folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        self._java = [
            str(find_java()),
            *JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={logging}",
            "-cp",
            f"{home.resolve()}/libs/*",
        ]
        # What `StorageTool random-uuid` makes, without a second start of Java; a leading dash would be taken for an option.
        cluster = "L" + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")[1:]
        format_command = ("format", "--standalone", "-t", cluster, "-c", str(self._properties), *format_arguments)
        self._tool("kafka.tools.StorageTool", *format_command)

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def process(self) -> BrokerProcess:
        """The running node.

        Raises:
            BrokerStartError: It was not started.
        """
        if self._process is None:
            raise BrokerStartError("the node was not started")
        return self._process

    def start(self) -> Broker:
        """Start it, also again after a stop or a kill; return when it answers.

        Raises:
            BrokerStartError: It ended or did not answer in time.
        """
        command = [*self._java, "kafka.Kafka", str(self._properties)]
        self._process = BrokerProcess(command, log=self._folder / "kafka.log", cwd=self._folder)
        try:
            self._process.wait_until_ready(self.bootstrap_servers)
        except BaseException:
            self._process.kill()
            raise
        return Broker(
            f"Apache Kafka {self.version}", self.bootstrap_servers, supports_idempotence=True, pid=self._process.pid
        )

    def stop(self) -> None:
        """End it and wait until it has gone. Does nothing where it does not run."""
        if self._process is not None:
            self._process.stop()

    def _tool(self, *arguments: str) -> str:
        command = [*self._java, *arguments]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=True, cwd=self._folder
            )
        except subprocess.CalledProcessError as exc:
            raise BrokerStartError(f"{' '.join(arguments[:2])} failed:\n{exc.stdout}{exc.stderr}") from exc
        except subprocess.TimeoutExpired as exc:
            raise BrokerStartError(f"{' '.join(arguments[:2])} took over {FORMAT_TIMEOUT_S:.0f} s") from exc
        return answer.stdout


@contextmanager
def running_kafka(home: Path, folder: Path, *, properties: Mapping[str, str] | None = None) -> Iterator[Broker]:
    """Run one node for the duration of a block, in `folder` (empty, ours).

    Raises:
        BrokerStartError: It cannot be started.
    """
    node = KafkaNode(home, folder, properties=properties)
    try:
        yield node.start()
    finally:
        node.stop()


def kafka_version(home: Path) -> str:
    """Return the version of the jars in `home`.

    Raises:
        BrokerStartError: There are none.
    """
    for jar in sorted((home / "libs").glob("kafka-clients-*.jar")):
        found = re.fullmatch(r"kafka-clients-(\d[\w.]*?)\.jar", jar.name)
        if found:
            return found[1]
    raise BrokerStartError(f"{home} holds no libs/kafka-clients-*.jar; deploy/local/pom.xml tells how to fetch them")
