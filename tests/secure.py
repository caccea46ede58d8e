"""A node of Apache Kafka with a door for each way in: plain, SCRAM, TLS, mutual TLS, SCRAM over TLS, and two that are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from deploy.local.base import LOOPBACK, free_port
from deploy.local.kafka import KafkaNode
from inspector.settings.settings import Settings
from tests.certificates import Authority, CertificateFiles

Door = Literal["plain", "sasl", "tls", "mtls", "sasltls", "expired", "elsewhere", "half"]

PROTOCOLS: Final[Mapping[Door, str]] = {
    "plain": "PLAINTEXT",  # for those who set it up: all rights
    "sasl": "SASL_PLAINTEXT",
    "tls": "SSL",
    "mtls": "SSL",  # asks for a client's certificate
    "sasltls": "SASL_SSL",
    "expired": "SSL",  # shows a certificate that has expired
    "elsewhere": "SSL",  # shows the certificate of another host
    "half": "SSL",  # its certificate names where clients begin, and not where the cluster sends them on
}
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_SASL_DOORS = ("sasl", "sasltls")


class SecureBroker:
    """The node, the authority that signed for it, and its users' passwords and certificates."""

    def __init__(self, home: Path, folder: Path, users: Sequence[str]) -> None:
        """Format the node; `node.start` starts it.

        Args:
            home: of the jars.
            folder: an empty one.
            users: names with a password for both SCRAM mechanisms, `secret_of`.
        """
        self._folder = folder
        self.authority = Authority(folder)
        self.other_authority = Authority(folder, "other")
        self.ports: dict[Door, int] = {door: free_port() for door in PROTOCOLS}
        scram = [
            f"SCRAM-SHA-{bits}=[name={user},password={self.secret_of(user)}]" for user in users for bits in (256, 512)
        ]
        data = folder / "node"
        data.mkdir()
        arguments = [word for user in scram for word in ("--add-scram", user)]
        self.node = KafkaNode(home, data, properties=self._properties(), format_arguments=arguments)
        self.node.port = self.ports["plain"]

    def _properties(self) -> dict[str, str]:
        controller = free_port()
        doors = ",".join(f"{door.upper()}://{LOOPBACK}:{port}" for door, port in self.ports.items())
        protocols = ",".join(f"{door.upper()}:{protocol}" for door, protocol in PROTOCOLS.items())
        found = {
            "listeners": f"{doors},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": doors,
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
            "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAIN",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            # The common name alone, instead of CN=...,OU=...,O=...
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        }
        for door in _SASL_DOORS:
            for bits in (256, 512):
                found[f"listener.name.{door}.scram-sha-{bits}.sasl.jaas.config"] = _LOGIN
        shown = {
            "tls": self.authority.issue("broker", LOOPBACK, "localhost"),
            "expired": self.authority.issue("old-broker", LOOPBACK, age_days=30, lasts_days=20),
            "half": self.authority.issue("half-broker", "localhost"),
            "elsewhere": self.authority.issue("far-broker", "kafka.elsewhere.example"),
        }
        shown["mtls"] = shown["sasltls"] = shown["tls"]
        for door, files in shown.items():
            found |= _stores(door, files, self.authority)
        found["listener.name.mtls.ssl.client.auth"] = "required"
        return found

    @staticmethod
    def secret_of(user: str) -> str:
        """The user's password."""
        return f"{user}-secret"

    def address(self, door: Door) -> str:
        """Where a door is."""
        return f"{LOOPBACK}:{self.ports[door]}"

    def client(self, name: str) -> CertificateFiles:
        """A certificate of the broker's authority for a client of this name."""
        return self.authority.issue(name, f"{name}.client.example")

    def kafka(self, user: str | None, door: Door | None = None, **changes: Any) -> dict[str, Any]:
        """The settings of a client: `user` by password at a door of SASL; None: nobody, with all rights, at the plain one."""
        door = door or ("plain" if user is None else "sasl")
        found: dict[str, Any] = {"bootstrap_servers": self.address(door), "group_id": "readers"}
        found["security_protocol"] = PROTOCOLS[door]
        if "SSL" in PROTOCOLS[door]:
            found["ssl_cafile"] = str(self.authority.file)
        if user is not None and PROTOCOLS[door].startswith("SASL"):
            found |= {"sasl_username": user, "sasl_password": self.secret_of(user)}
        return found | changes

    def settings(
        self, user: str | None, door: Door | None = None, *, prefix: str = "access", **changes: Any
    ) -> Settings:
        """Settings of which `changes` replace those of the client."""
        kafka = self.kafka(user, door, **changes)
        return Settings.model_validate({"kafka": kafka, "topics": {"prefix": prefix}, "http": {"port": 0}})


def shown(files: CertificateFiles) -> dict[str, str]:
    """The settings of a client that shows this certificate."""
    return {"ssl_certfile": str(files.certificate), "ssl_keyfile": str(files.key)}


REFUSED: Final[Sequence[tuple[str, Door, str]]] = (
    ("wrong authority", "tls", "is not signed by an authority that is trusted here"),
    ("no authority", "tls", "set kafka.ssl_cafile to the authority that signed it"),
    ("expired broker", "expired", "shows has expired; renew it on the broker"),
    (
        "other host",
        "elsewhere",
        "shows belongs to another host; use a name from the certificate in kafka.bootstrap_servers",
    ),
    ("other host behind the bootstrap", "half", "shows belongs to another host"),
    ("no certificate", "mtls", "requires a client certificate (mutual TLS), but got none"),
    ("unknown certificate", "mtls", "refuses the certificate of kafka.ssl_certfile"),
    ("expired certificate", "mtls", "refuses the certificate of kafka.ssl_certfile"),
    ("wrong password", "sasltls", "check kafka.sasl_username, kafka.sasl_password or kafka.sasl_mechanism"),
    ("plain to TLS", "tls", "uses TLS, but kafka.security_protocol is PLAINTEXT; set it to SSL"),
    ("password to TLS", "sasltls", "uses TLS, but kafka.security_protocol is SASL_PLAINTEXT; set it to SASL_SSL"),
    ("password unasked", "plain", "this listener does not use passwords"),
)
"""What is done wrong, at which door, and what the sentence says."""

MAY_PASS: Final[Sequence[tuple[str, Door, str]]] = (
    ("TLS to plain", "plain", "its listener needs another kafka.security_protocol than SSL"),
    ("plain to SASL", "sasl", "its listener needs another kafka.security_protocol than PLAINTEXT"),
)
"""What a broker that starts or stops looks like, too: it is tried again."""


def wrong(broker: SecureBroker, case: str) -> dict[str, Any]:
    """What `SecureBroker.kafka` is given for a client that does this wrong."""
    authority, other = broker.authority, broker.other_authority
    port = broker.ports["half"]
    found: dict[str, dict[str, Any]] = {
        "wrong authority": {"ssl_cafile": str(other.file)},
        "no authority": {"ssl_cafile": None},
        "other host behind the bootstrap": {"bootstrap_servers": f"localhost:{port}"},
        "unknown certificate": shown(other.issue("stranger", "stranger.example")),
        "expired certificate": shown(authority.issue("late", "late.example", age_days=30, lasts_days=20)),
        "wrong password": {"sasl_password": "wrong"},
        "plain to TLS": {"security_protocol": "PLAINTEXT"},
        "password to TLS": {"security_protocol": "SASL_PLAINTEXT"},
        "password unasked": {"security_protocol": "SASL_PLAINTEXT"},
        "TLS to plain": {"security_protocol": "SSL"},
        "plain to SASL": {"security_protocol": "PLAINTEXT"},
    }
    login = {"sasl_username": "worker", "sasl_password": "canary-secret"} if "password" in case else {}
    return login | found.get(case, {})


def _stores(door: str, files: CertificateFiles, authority: Authority) -> dict[str, str]:
    stores = {"keystore": files.both, "truststore": authority.file}
    return {
        f"listener.name.{door}.ssl.{store}.{key}": value
        for store, path in stores.items()
        for key, value in (("type", "PEM"), ("location", str(path)))
    }


@contextmanager
def running_secure_broker(home: Path, folder: Path, users: Sequence[str]) -> Iterator[SecureBroker]:
    """The node for the duration of a block.

    Raises:
        BrokerStartError: It does not start.
    """
    broker = SecureBroker(home, folder, users)
    broker.node.start()
    try:
        yield broker
    finally:
        broker.node.stop()
