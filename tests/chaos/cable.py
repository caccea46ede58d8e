"""A network namespace behind a bad cable, and a good one for its metrics. Linux, root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import TracebackType
from typing import Self

from deploy.local.broker import CHECKOUT
from tests.chaos.campaign import SkipCampaign


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode:
        raise SkipCampaign(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Cable:
    """Namespace `inside` at `.2` of two small networks; `.1` of both is this machine.

    This machine ── relay ── inside (`outer`, `inner`), and directly for HTTP (`manager`, `managed`).
    """

    def __init__(self, seed: int) -> None:
        """Choose names and addresses that no other process has."""
        number = os.getpid() % 250
        self.seed = seed
        self.inside, self._wire = f"chaos{os.getpid()}i", f"chaos{os.getpid()}w"
        self.outer, self.inner = f"10.213.{number}.1", f"10.213.{number}.2"
        self.manager, self.managed = f"10.214.{number}.1", f"10.214.{number}.2"
        self._links = tuple(f"c{os.getpid() % 100000}{end}" for end in "abcdmn")
        self._relay: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Build it.

        Raises:
            SkipCampaign: Not root, or no `ip`.
        """
        if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
            raise SkipCampaign("network namespaces take Linux, root and the command ip")
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _build(self) -> None:
        a, b, c, d, m, n = self._links
        for namespace in (self.inside, self._wire):
            _ip("netns", "add", namespace)
        for one, another in ((a, b), (c, d), (m, n)):
            _ip("link", "add", one, "type", "veth", "peer", "name", another)
        # a (here) ─ b (wire) … c (wire) ─ d (inside); m (here) ─ n (inside)
        for link, namespace in ((b, self._wire), (c, self._wire), (d, self.inside), (n, self.inside)):
            _ip("link", "set", link, "netns", namespace)
        for link, address in ((a, self.outer), (m, self.manager)):
            _ip("addr", "add", f"{address}/24", "dev", link)
            _ip("link", "set", link, "up")
        for link, address in ((d, self.inner), (n, self.managed)):
            _ip("-n", self.inside, "addr", "add", f"{address}/24", "dev", link)
            _ip("-n", self.inside, "link", "set", link, "up")
        _ip("-n", self.inside, "link", "set", "lo", "up")
        for link in (b, c):
            _ip("-n", self._wire, "link", "set", link, "up")
        self._offload(a, ())
        self._offload(d, ("ip", "netns", "exec", self.inside))
        self._relay = subprocess.Popen(
            ["ip", "netns", "exec", self._wire, sys.executable, "-m", "tests.chaos.relay", b, c, str(self.seed)],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
        )
        assert self._relay.stdout is not None
        if self._relay.stdout.readline().strip() != "passing":
            raise SkipCampaign("the relay does not start: packet sockets are not allowed here")

    def _offload(self, link: str, before: tuple[str, ...]) -> None:
        program = f"from tests.chaos.relay import without_offloads; without_offloads({link!r})"
        subprocess.run([*before, sys.executable, "-c", program], check=True, cwd=CHECKOUT)

    def wrong(self, **what: float) -> None:
        """Set what is wrong from now on: `delay_ms`, `loss` (0 to 1); nothing: the cable is good again."""
        assert self._relay is not None
        assert self._relay.stdin is not None
        self._relay.stdin.write(json.dumps(what) + "\n")
        self._relay.stdin.flush()

    def _remove(self) -> None:
        if self._relay is not None:
            self._relay.kill()
            self._relay.communicate()
        for namespace in (self.inside, self._wire):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)  # noqa: S607
        for link in self._links:  # those that were never moved; the others went with their namespace
            subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)  # noqa: S607
