"""One inspector process of a campaign: started by the launcher, watched, killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from deploy.local.base import LOOPBACK, free_port
from tests.chaos.launcher import ARMED_BY
from tests.e2e.processes import CHECKOUT, InspectorProcess


class Worker(InspectorProcess):
    """An `inspector run` that may carry a mutation, and may be made to die at a point of its own code."""

    def __init__(
        self,
        name: str,
        settings_file: Path,
        folder: Path,
        *,
        mutation: str | None = None,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        host: str = LOOPBACK,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            name: of its log; its client id at the broker.
            settings_file: TOML.
            folder: where the log goes.
            mutation: a module of `tests/chaos/mutations`.
            environment: more variables.
            before: words before the command, such as `ip netns exec NAME`.
            host: where it answers HTTP.
        """
        super().__init__(name, settings_file, folder)
        self._mutation = mutation
        self._environment = dict(environment or {})
        self._before = list(before)
        self._host = host

    @override
    def start(self, die: str | None = None) -> None:
        """Start it; it is ready later.

        Args:
            die: `POINT:COUNT`, see `tests.chaos.launcher`; takes effect after `arm`.
        """
        self._port = free_port()
        flaws = ["--mutation", self._mutation] if self._mutation else []
        flaws += ["--die", die] if die else []
        command = [*self._before, sys.executable, "-m", "tests.chaos.launcher", *flaws]
        command += ["--", "run", "--config", str(self._settings_file)]
        own = {
            "INSPECTOR_HTTP__PORT": str(self._port),
            "INSPECTOR_KAFKA__CLIENT_ID": self.name,
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                env=os.environ | own | self._environment,
            )

    def arm(self) -> None:
        """Let it die at its point."""
        self.signal(ARMED_BY)

    def signal(self, number: int) -> None:
        """Send a signal; does nothing where it has ended."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def status(self) -> int | None:
        """Exit status; negative: the signal that ended it; None: it runs, or was never started."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        """Whether /readyz says so now."""
        return self.is_running and self._get("/readyz") is not None

    def partitions(self) -> set[int]:
        """Return the partitions of the frames topic that it reads."""
        families = text_string_to_metric_families(self._get("/metrics") or "")
        return {
            int(sample.labels["partition"])
            for family in families
            for sample in family.samples
            if sample.name == "inspector_consumer_lag_frames"
        }

    def log_tail(self, max_bytes: int = 3000) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-max_bytes:] if self.log.exists() else ""
