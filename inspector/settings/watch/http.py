"""Settings of the address where metrics and health answer, and of who may ask."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from inspector.credentials.secrets import check_token, read_secret
from inspector.settings.section import Port, Section


class HttpSettings(Section):
    """Where /metrics, /healthz and /readyz answer, and to whom."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address to listen on; with 0.0.0.0 (the whole network) set a certificate and a token",
    )
    port: Port = Field(9300, description="port; 0: any free port (the log shows which)")
    hang_after_s: float = Field(5.0, gt=0, description="/healthz fails when the event loop has not run for this long")
    tls_certfile: Path | None = Field(None, description="PEM file of the certificate to show: HTTPS instead of HTTP")
    tls_keyfile: Path | None = Field(None, description="PEM file of its key")
    token: SecretStr | None = Field(
        None,
        description="token that a client must send to read /metrics (Authorization: Bearer ...); without it, /healthz "
        "and /readyz give the status but no reasons. token_file or INSPECTOR_HTTP__TOKEN is safer",
    )
    token_file: Path | None = Field(None, description="file that holds the token")

    @model_validator(mode="after")
    def _are_whole(self) -> Self:
        if (self.tls_certfile is None) != (self.tls_keyfile is None):
            raise ValueError("tls_certfile and tls_keyfile go together")
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        return self

    def read_token(self) -> str | None:
        """Return the token; None: no token is required.

        Raises:
            ConfigError: Its file cannot be read, or it can be guessed.
        """
        token = read_secret("http.token", self.token, self.token_file)
        if token is not None:
            check_token("http.token" if self.token_file is None else "http.token_file", token)
        return token
