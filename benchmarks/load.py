"""Sends work to a service as clients do, and measures what they see."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import quantiles

from tqdm import tqdm


@dataclass(frozen=True)
class MeasuredLoad:
    """What the clients saw: answers a second, and the seconds that each answer took."""

    rate: float
    seconds: tuple[float, ...]

    def percentile(self, p: int) -> float:
        """Compute the p-th percentile of the latencies, in seconds."""
        return quantiles(self.seconds, n=100, method="inclusive")[p - 1]


def saturate(
    ask: Callable[[bytes], object], bodies: Sequence[bytes], clients: int, label: str
) -> MeasuredLoad:
    """Send as many bodies at once as there are clients, each the next as soon as the last is answered."""

    def one(body: bytes) -> float:
        began = time.perf_counter()
        ask(body)
        return time.perf_counter() - began

    with ThreadPoolExecutor(clients) as threads:
        began = time.perf_counter()
        seconds = list(tqdm(threads.map(one, bodies), label, len(bodies), leave=False))
        return MeasuredLoad(len(bodies) / (time.perf_counter() - began), tuple(seconds))


def at_rate(
    ask: Callable[[bytes], object], bodies: Sequence[bytes], rate: float, clients: int, label: str
) -> MeasuredLoad:
    """`rate` bodies a second, whether the service keeps up or not.

    A latency counts from when the body was due, so that a service that stalls pays for what it holds up.
    """
    start = time.perf_counter() + 0.1

    def one(numbered: tuple[int, bytes]) -> float:
        due = start + numbered[0] / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        ask(numbered[1])
        return time.perf_counter() - due

    with ThreadPoolExecutor(clients) as threads:
        seconds = list(tqdm(threads.map(one, enumerate(bodies)), label, len(bodies), leave=False))
        return MeasuredLoad(len(bodies) / (time.perf_counter() - start), tuple(seconds))
