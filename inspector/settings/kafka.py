"""Settings of the connection to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from inspector.credentials.secrets import read_secret
from inspector.settings.section import MIB, Positive, Section

ABANDON_S = 5.0
"""For a producer that cannot make progress to end in."""
_BEYOND_REQUEST_S = 5.0
_CALLS_OF_A_SEND = 4
"""One asks for the partitions, one gives the batch away, one waits for its acknowledgement, and where that fails one connects anew."""


class KafkaSettings(Section):
    """The broker, and this process as its client."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", min_length=1, description="addresses of one or more brokers, host:port, separated by commas"
    )
    group_id: str = Field(
        "line-inspector",
        min_length=1,
        description="consumer group; the processes of a group share the partitions among them",
    )
    client_id: str = Field("inspector", min_length=1, description="name of this process in the logs of the brokers")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    sasl_username: str | None = Field(None, description="user of the SASL protocols")
    sasl_password: SecretStr | None = Field(
        None, description="password; sasl_password_file or INSPECTOR_KAFKA__SASL_PASSWORD is safer"
    )
    sasl_password_file: Path | None = Field(None, description="file that holds the password")
    ssl_cafile: Path | None = Field(None, description="PEM file of the authority that signed the brokers' certificates")
    ssl_certfile: Path | None = Field(None, description="PEM file of this client's certificate (mutual TLS)")
    ssl_keyfile: Path | None = Field(None, description="PEM file of its key")
    session_timeout_ms: Positive = Field(
        6_000,
        description="if the brokers do not hear from a process for this long, it loses its partitions; for less than "
        "6 s, lower group.min.session.timeout.ms on the brokers (docs/chaos.md)",
    )
    rebalance_timeout_ms: Positive = Field(
        30_000,
        description="how long the group waits for a process to give back its partitions; must be more than "
        "drain_timeout_s",
    )
    request_timeout_ms: Positive = Field(
        40_000,
        description="time limit of a request; must be more than rebalance_timeout_ms, or joining the group never "
        "succeeds",
    )
    fetch_max_wait_ms: Positive = Field(50, description="how long the broker waits when there is nothing to fetch")
    max_partition_fetch_bytes: Positive = Field(
        MIB,
        description="maximum size of a fetch from one partition; larger fetches are slower. A larger message still "
        "arrives, in a fetch of its own",
    )
    idempotent: bool = Field(
        True,
        description="use the idempotent producer; switch it off only for brokers that lack it, such as the "
        "embedded one",
    )
    auto_offset_reset: Literal["earliest", "latest", "none"] = Field(
        "earliest", description="where a group without committed offsets begins to read"
    )

    isolation_level: Literal["read_committed", "read_uncommitted"] = Field(
        "read_committed", description="read_committed: ignore frames of open and aborted transactions"
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _have_ports(cls, servers: str) -> str:
        for server in servers.split(","):
            host, colon, port = server.strip().rpartition(":")
            if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
                raise ValueError(
                    f"{server.strip()!r} is not of the form host:port; brokers usually listen on port 9092"
                )
        return servers

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if self.sasl_password is not None and self.sasl_password_file is not None:
            raise ValueError("give sasl_password or sasl_password_file, not both")
        has_password = self.sasl_password is not None or self.sasl_password_file is not None
        if self.security_protocol.startswith("SASL") and (self.sasl_username is None or not has_password):
            raise ValueError(f"{self.security_protocol} needs sasl_username, and sasl_password or sasl_password_file")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile go together")
        if self.rebalance_timeout_ms >= self.request_timeout_ms:
            raise ValueError(
                "request_timeout_ms must be more than rebalance_timeout_ms, or joining the group never succeeds"
            )
        return self

    def read_password(self) -> str | None:
        """Return the password of the SASL protocols.

        Raises:
            ConfigError: Its file cannot be read.
        """
        return read_secret("kafka.sasl_password", self.sasl_password, self.sasl_password_file)

    @property
    def call_s(self) -> float:
        """How long one call of a client may take, in seconds: a request, and a little for what stands before it."""
        return self.request_timeout_ms / 1000 + _BEYOND_REQUEST_S

    @property
    def longest_send_s(self) -> float:
        """Within what a send has failed by itself, in seconds."""
        return _CALLS_OF_A_SEND * self.call_s + ABANDON_S

    @property
    def principal(self) -> str:
        """Whom the brokers take this client for, as rights are granted to: `User:camera`."""
        if self.security_protocol.startswith("SASL"):
            return f"User:{self.sasl_username}"
        if self.security_protocol == "SSL" and self.ssl_certfile is not None:
            return f"the user of certificate {self.ssl_certfile}"
        return "User:ANONYMOUS"
