"""A network whose links can be cut, slowed and made to lose packets: a switch of our own between network namespaces.

In: a number of places. Out: for each a namespace with an address, one more address for this process's own namespace,
and links between any two of them that `Network.set` changes while packets flow. Guarantees that real TCP of the real
kernel goes over it, that what is lost depends on the seed and the packets alone, and that nothing of it is left when
the block ends. Needs root and /dev/net/tun; the kernel's own netem is missing on some machines, a TUN device is not.
"""

import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

#: The place of whoever is in no namespace: clients, edge replicas, publishers.
OUTSIDE = 0

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PACKET = 65_536
_LAST_OF_SOURCE, _LAST_OF_TARGET = 15, 19
_FIRST_HOST = 10


@dataclass(frozen=True)
class Link:
    """How packets between two places fare, in both directions; a `loss` of 1 is a cut."""

    one: int
    other: int
    loss: float = 0.0
    delay_s: float = 0.0


@dataclass(frozen=True)
class Network:
    """A running network; places are numbered from 1, `OUTSIDE` is 0."""

    namespaces: list[str]
    addresses: list[str]
    switch: "subprocess.Popen[bytes]"

    def inside(self, place: int, command: list[str]) -> list[str]:
        """Return the command line that runs a command at a place."""
        return ["ip", "netns", "exec", self.namespaces[place - 1], *command]

    def set(self, *links: Link) -> None:
        """Have these links fare as said and all others well."""
        assert self.switch.stdin is not None
        self.switch.stdin.write(json.dumps([asdict(link) for link in links]).encode() + b"\n")
        self.switch.stdin.flush()


@contextmanager
def running(places: int, seed: int) -> Iterator[Network]:
    """Give a network that ends with the block."""
    name = f"shelf{os.getpid()}"
    subnet = f"10.213.{os.getpid() % 250}"
    addresses = [f"{subnet}.{_FIRST_HOST + place}" for place in range(places + 1)]
    namespaces = [f"{name}-{place}" for place in range(1, places + 1)]
    with ExitStack() as stack:
        devices = []
        for place, address in enumerate(addresses):
            devices.append(_device(f"{name[:12]}{place}"))
            stack.callback(os.close, devices[-1])
            if place != OUTSIDE:
                namespace = namespaces[place - 1]
                _ip("netns", "add", namespace)
                stack.callback(_ip, "netns", "del", namespace)
            _address(f"{name[:12]}{place}", address, namespaces[place - 1] if place else None)
        switch = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.network", str(seed), *map(str, devices)],
            stdin=subprocess.PIPE,
            pass_fds=devices,
        )
        stack.callback(_ended, switch)
        yield Network(namespaces, addresses, switch)


def _ended(switch: "subprocess.Popen[bytes]") -> None:
    assert switch.stdin is not None
    switch.stdin.close()
    switch.wait(timeout=60)


def _device(name: str) -> int:
    """Return a new TUN device, as a file whose reads and writes are packets."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def _address(device: str, address: str, namespace: str | None) -> None:
    inside = ["-n", namespace] if namespace else []
    if namespace:
        _ip("link", "set", device, "netns", namespace)
        _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "addr", "add", f"{address}/24", "dev", device)
    _ip(*inside, "link", "set", device, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class Switch:
    """The switch: packets in from any device, out to the one of their target."""

    def __init__(self, devices: list[int], seed: int) -> None:
        """All links fare well at first."""
        self._devices = devices
        self._chance = random.Random(seed)
        self._links: dict[tuple[int, int], tuple[float, float]] = {}
        self._late: list[tuple[float, int, int, bytes]] = []
        self._number = 0

    def run(self) -> None:
        """Pass packets on until standard input ends."""
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        for device in self._devices:
            selector.register(device, selectors.EVENT_READ)
        while True:
            wait_s = self._late[0][0] - time.monotonic() if self._late else None
            for key, _ in selector.select(max(0.0, wait_s) if wait_s is not None else None):
                if key.fd != 0:
                    self._take(key.fd)
                elif line := sys.stdin.readline():
                    self._set(line)
                else:
                    return
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, target, packet = heapq.heappop(self._late)
                os.write(self._devices[target], packet)

    def _set(self, line: str) -> None:
        self._links = {}
        for link in (Link(**fields) for fields in json.loads(line)):
            for pair in ((link.one, link.other), (link.other, link.one)):
                self._links[pair] = link.loss, link.delay_s

    def _take(self, device: int) -> None:
        while True:
            try:
                packet = os.read(device, _PACKET)
            except BlockingIOError:
                return
            if len(packet) <= _LAST_OF_TARGET or packet[0] >> 4 != 4:  # IPv6 has no place here
                continue
            source = packet[_LAST_OF_SOURCE] - _FIRST_HOST
            target = packet[_LAST_OF_TARGET] - _FIRST_HOST
            if not 0 <= target < len(self._devices):
                continue
            loss, delay_s = self._links.get((source, target), (0.0, 0.0))
            if loss and self._chance.random() < loss:
                continue
            if delay_s:
                self._number += 1
                late = (time.monotonic() + delay_s, self._number, target, packet)
                heapq.heappush(self._late, late)
            else:
                os.write(self._devices[target], packet)


if __name__ == "__main__":
    Switch([int(device) for device in sys.argv[2:]], int(sys.argv[1])).run()
