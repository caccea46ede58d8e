"""A bare Debian 12 that systemd boots in a folder, on the network of this machine: systemd-nspawn, as root."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BOOT_S = 300.0
LEAVE_S = 120.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ALONE = """
set -e
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$0"
echo $$ > "/sys/fs/cgroup/$0/cgroup.procs"
exec "$@"
"""
"""Under one tree of control groups of version 2, as Debian boots: in a mount namespace of its own, whatever this machine has."""

JOIN = "echo $$ > /sys/fs/cgroup/init.scope/cgroup.procs\n"
"""What is run in the machine counts as its own, and ends with it."""


class Bare:
    """The machine while it runs."""

    def __init__(self, leader: int) -> None:
        """Speak to the machine whose first process has this id out here."""
        self._leader = leader

    def run(self, command: str, *, folder: str = "/root") -> subprocess.CompletedProcess[str]:
        """Run lines of a shell there as root, up to the first that fails; both of its streams come back as one."""
        inside = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root"]
        words = [
            *inside,
            f"--wd=/proc/{self._leader}/root{folder}",
            "bash",
            "-eu",
            "-o",
            "pipefail",
            "-c",
            JOIN + command,
        ]
        environment = {"PATH": PATH, "HOME": "/root", "TERM": "dumb", "LANG": "C.UTF-8"}
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=environment,
        )


def missing() -> str | None:
    """Return what this machine lacks, as a sentence; None where it has all."""
    if os.geteuid() != 0:
        return "a machine is booted by root alone"
    wanted = {"systemd-nspawn": "systemd-container", "nsenter": "util-linux", "unshare": "util-linux"}
    for program, package in wanted.items():
        if shutil.which(nspawn() if program == "systemd-nspawn" else program) is None:
            return f"no {program} here: apt-get install {package}"
    return None


def nspawn() -> str:
    """Return the program; NSPAWN names one that is not on the PATH."""
    return os.environ.get("NSPAWN", "systemd-nspawn")


@contextmanager
def booted(root: Path, *, log: Path, options: Sequence[str] = ()) -> Iterator[Bare]:
    """The machine in a folder, from its boot to its shutdown.

    Args:
        root: the folder, which is changed.
        log: file for what the machine says on its console.
        options: more words for systemd-nspawn.

    Raises:
        RuntimeError: It does not boot.
    """
    name = f"bare-{os.getpid()}"
    machine = ["--boot", "--quiet", f"--directory={root}", f"--machine={name}", "--register=no", "--keep-unit"]
    outside = ["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only"]
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", ALONE, name, nspawn(), *machine, *outside]
    environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
    with log.open("wb") as console:
        process = subprocess.Popen(
            [*words, *options], stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
        )
    try:
        yield _when_booted(process, log)
    finally:
        # systemd-nspawn tells the machine to shut down.
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _when_booted(process: subprocess.Popen[bytes], log: Path) -> Bare:
    give_up = time.monotonic() + BOOT_S
    while time.monotonic() < give_up and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            bare = Bare(int(children[0]))
            if bare.run("systemctl is-system-running --wait").stdout.strip() in ("running", "degraded"):
                return bare
        time.sleep(0.5)
    raise RuntimeError(f"{shlex.join(map(str, process.args))} did not boot:\n{log.read_text(errors='replace')[-4000:]}")  # type: ignore[arg-type]
