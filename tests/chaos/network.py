"""Makes hosts, which are network namespaces. `python -m tests.chaos.network HOSTS` is the router of them.

It carries every IP packet. It holds packets back, loses some at random, and carries none to and from a host
that is cut off: silently, as a broken cable does. The test itself is in the hub, a namespace too.
"""

import ctypes
import fcntl
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from socket import inet_aton
from typing import Self

HUB = "10.77.0.1"
DEVICE = "osteo"
_TUN = "/dev/net/tun"
_NEW_NETWORK, _SET_DEVICE, _IP_PACKETS_ALONE = 0x40000000, 0x400454CA, 0x1001
"""CLONE_NEWNET, TUNSETIFF, and IFF_TUN with IFF_NO_PI: man pages unshare(2) and netdevice(7)."""
_MOST_BYTES = 65_535


def address(host: int) -> str:
    """The address of a host, from 1."""
    return f"10.77.0.{host + 1}"


def may_have_networks() -> bool:
    """Whether this user may make network namespaces and devices in them, and has `ip` and `nsenter`."""
    made = ("unshare", "--net", "sh", "-c", f"command -v nsenter && ip link set lo up && exec 3<>{_TUN}")
    try:
        return not subprocess.run(made, capture_output=True).returncode
    except OSError:
        return False


def enter_hub() -> None:
    """Move this process, which has one thread yet, to a network of its own."""
    _enter_new_network()


@dataclass(frozen=True)
class Weather:
    """What happens to packets: seconds of delay, share that is lost, and the hosts that are cut off."""

    delay: float = 0.0
    loss: float = 0.0
    cut: tuple[int, ...] = ()


class Network:
    """So many hosts, while its context is open. To be opened in the hub."""

    def __init__(self, hosts: int) -> None:
        self._hosts = hosts
        self._weather = Weather()

    def __enter__(self) -> Self:
        self._router = subprocess.Popen(
            (sys.executable, "-m", __name__, str(self._hosts)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._namespaces: list[int] = self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._router.communicate()

    def within(self, host: int) -> tuple[str, ...]:
        """The words before a command that is to run at this host."""
        return ("nsenter", f"--net=/proc/{self._router.pid}/fd/{self._namespaces[host - 1]}")

    @contextmanager
    def cut_off(self, *hosts: int) -> Iterator[None]:
        """Carry no packet from and to these hosts while the context is open."""
        with self._changed(replace(self._weather, cut=hosts)):
            yield

    @contextmanager
    def bad(self, delay: float, loss: float) -> Iterator[None]:
        """Hold packets back for so many seconds, and lose this share of them, while the context is open."""
        with self._changed(replace(self._weather, delay=delay, loss=loss)):
            yield

    def packets(self) -> Counter[str]:
        """How many packets were `carried`, `lost` by chance, and `cut` off, so far."""
        return self._told(self._weather)

    @contextmanager
    def _changed(self, weather: Weather) -> Iterator[None]:
        before, self._weather = self._weather, weather
        self._told(weather)
        try:
            yield
        finally:
            self._weather = before
            self._told(before)

    def _told(self, weather: Weather) -> Counter[str]:
        assert self._router.stdin
        self._router.stdin.write(json.dumps(asdict(weather)).encode() + b"\n")
        self._router.stdin.flush()
        return Counter(self._answer())

    def _answer(self):  # type: ignore[no-untyped-def]  # a line of JSON
        assert self._router.stdout
        return json.loads(self._router.stdout.readline())


class Router:
    """Carries packets between the hub, in which it begins, and so many hosts."""

    def __init__(self, hosts: int) -> None:
        self._weather = Weather()
        self._counts = Counter(carried=0, lost=0, cut=0)
        self._held: deque[tuple[float, int, bytes]] = deque()
        self._cut: set[bytes] = set()
        self._devices = {inet_aton(HUB): _device(HUB)}
        self.namespaces: list[int] = []
        for host in range(1, hosts + 1):
            _enter_new_network()
            self._devices[inet_aton(address(host))] = _device(address(host))
            self.namespaces.append(os.open("/proc/self/ns/net", os.O_RDONLY))

    def run(self, orders: int) -> None:
        """Carry packets until there is no more to read from `orders`: a Weather in each line."""
        poll = select.epoll()
        for readable in (orders, *self._devices.values()):
            poll.register(readable, select.EPOLLIN)
        while True:
            wait = max(0.0, self._held[0][0] - time.monotonic()) if self._held else None
            for readable, _ in poll.poll(wait):
                if readable != orders:
                    self._take(readable)
                elif not self._obey(os.read(orders, _MOST_BYTES)):
                    return
            while self._held and self._held[0][0] <= time.monotonic():
                _, device, packet = self._held.popleft()
                with suppress(OSError):  # Its queue is full: the packet is lost, as on any network.
                    os.write(device, packet)

    def _obey(self, line: bytes) -> bool:
        if line:
            self._weather = Weather(**json.loads(line))
            self._cut = {inet_aton(address(host)) for host in self._weather.cut}
            print(json.dumps(self._counts), flush=True)
        return bool(line)

    def _take(self, device: int) -> None:
        with suppress(BlockingIOError):
            while packet := os.read(device, _MOST_BYTES):
                source, destination = packet[12:16], packet[16:20]
                if packet[0] >> 4 != 4 or destination not in self._devices:
                    continue
                fate = self._fate(source, destination)
                self._counts[fate] += 1
                if fate == "carried":
                    due = time.monotonic() + self._weather.delay
                    self._held.append((due, self._devices[destination], packet))

    def _fate(self, source: bytes, destination: bytes) -> str:
        if source in self._cut or destination in self._cut:
            return "cut"
        return "lost" if random.random() < self._weather.loss else "carried"


def _enter_new_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK):
        raise PermissionError(os.strerror(ctypes.get_errno()))
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)


def _device(own_address: str) -> int:
    """Make the network device of this namespace, and return the descriptor at its other end."""
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _SET_DEVICE, struct.pack("16sH22x", DEVICE.encode(), _IP_PACKETS_ALONE))
    subprocess.run(("ip", "address", "add", f"{own_address}/24", "dev", DEVICE), check=True)
    subprocess.run(("ip", "link", "set", DEVICE, "up"), check=True)
    return device


if __name__ == "__main__":
    router = Router(int(sys.argv[1]))
    print(json.dumps(router.namespaces), flush=True)
    router.run(sys.stdin.fileno())
