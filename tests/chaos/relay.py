"""A bad cable: passes Ethernet frames between two interfaces, late, or not at all.

`python -m tests.chaos.relay IFACE IFACE SEED` (root). Lines of JSON on standard input set what is wrong: `{"delay_ms": 100, "loss": 0.05}`; `{}`: nothing;
`{"loss": 1}`: a hole. For machines whose kernel has no netem; needs no kernel module but veth.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import json
import random
import select
import socket
import struct
import sys
import time

ALL_FRAMES = 0x0003
OUTGOING = 4
LONGEST_FRAME = 1 << 16

_ETHTOOL = 0x8946
_OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)  # ETHTOOL_STXCSUM, STSO, SGSO, SGRO


def without_offloads(interface: str) -> None:
    """Have an interface send what goes over a cable: checksums in place, no segments to be cut later."""
    with socket.socket() as some:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(value))
            fcntl.ioctl(some, _ETHTOOL, request)


def relay(interfaces: tuple[str, str], seed: int) -> None:
    """Pass frames until standard input ends."""
    rng = random.Random(seed)
    ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES)) for _ in interfaces]
    for end, interface in zip(ends, interfaces, strict=True):
        end.bind((interface, ALL_FRAMES))
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    waiting: list[tuple[float, int, socket.socket, bytes]] = []
    turn = itertools.count()
    delay_s, loss = 0.0, 0.0
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([*ends, sys.stdin], [], [], pause)
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            wrong = json.loads(line)
            delay_s, loss = wrong.get("delay_ms", 0) / 1000, wrong.get("loss", 0)
        for source in (end for end in ends if end in readable):
            frame, address = source.recvfrom(LONGEST_FRAME)
            if address[2] != OUTGOING and rng.random() >= loss:
                heapq.heappush(waiting, (time.monotonic() + delay_s, next(turn), other[source], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(waiting)
            try:
                target.send(frame)
            except OSError:
                continue  # as on a cable: nobody is told


def main() -> None:
    """Take the offloads off, pass frames."""
    first, second, seed = sys.argv[1:]
    for interface in (first, second):
        without_offloads(interface)
    print("passing", flush=True)
    relay((first, second), int(seed))


if __name__ == "__main__":
    main()
