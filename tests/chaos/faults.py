"""Breaks something in a trial: processes die, Redis and S3 fail, an image is poison."""

import random
import signal
import time
from contextlib import suppress
from threading import Event

import urllib3
from redis.exceptions import ConnectionError as RedisAway

from tests.chaos.service import SHADOW, WORKERS, Service
from tests.chaos.stand_in import SHADOW_RAISES, image
from tests.chaos.trials import Fault
from tests.chaos.windows import Window, arm, fired

OUTAGE_SECONDS = 8.0
"""Longer than the pauses and time-outs of the service, so that it meets the outage and not only a hiccup."""
REACHED_SECONDS = 60


def nothing(service: Service, enough: Event) -> float:
    """Break nothing."""
    enough.wait()
    return time.monotonic()


def killed_in(window: Window) -> Fault:
    """Kill the next process that comes to `window`."""

    def fault(service: Service, enough: Event) -> float:
        enough.wait()
        arm(window, service.folder)
        began = time.monotonic()
        while not fired(window, service.folder):
            assert time.monotonic() - began < REACHED_SECONDS, f"nothing came to this window: {window.name}"
            time.sleep(0.01)
        return time.monotonic()

    return fault


def workers_killed(times: int, pause: float, chance: random.Random) -> Fault:
    """Kill one of the inference workers, `times`, `pause` seconds apart."""

    def fault(service: Service, enough: Event) -> float:
        enough.wait()
        for turn in range(times):
            time.sleep(pause if turn else 0)
            victim = chance.choice(WORKERS)
            service.await_ready(victim)
            service.send(victim, signal.SIGKILL)
        return time.monotonic()

    return fault


def worker_told_to_stop(service: Service, enough: Event) -> float:
    """Send SIGTERM to an inference worker, as for a new version; another one starts in its place."""
    enough.wait()
    service.tell(WORKERS[0], signal.SIGTERM)
    return time.monotonic()


def shadow_killed(service: Service, enough: Event) -> float:
    """Kill the shadow worker, and again as soon as it has loaded its bundle."""
    enough.wait()
    service.await_ready(SHADOW)
    loads = service.shadow_loads()
    service.kill_and_await(SHADOW)
    # A bundle whose load was killed is left alone for an hour, and later trials want the shadow.
    service.await_shadow_load(loads + 1)
    service.send(SHADOW, signal.SIGKILL)
    return time.monotonic()


def shadow_frozen(service: Service, enough: Event) -> float:
    """Make the shadow worker hang."""
    enough.wait()
    service.send(SHADOW, signal.SIGSTOP)
    try:
        time.sleep(OUTAGE_SECONDS)
    finally:
        service.send(SHADOW, signal.SIGCONT)
    return time.monotonic()


def shadow_raises(service: Service, enough: Event) -> float:
    """Let the bundle of the shadow raise at every copy."""
    enough.wait()
    mark, before = service.folder / SHADOW_RAISES, service.scored("broken")
    mark.touch()
    began = time.monotonic()
    try:
        while service.scored("broken") == before:
            assert time.monotonic() - began < REACHED_SECONDS, "no copy came to the shadow"
            time.sleep(0.05)
    finally:
        mark.unlink()
    return time.monotonic()


def redis_killed(service: Service, enough: Event) -> float:
    """Kill Redis for a while."""
    enough.wait()
    with service.down("redis"):
        _outage(service, "redis")
    return time.monotonic()


def redis_frozen(service: Service, enough: Event) -> float:
    """Make Redis take connections and answer nothing."""
    enough.wait()
    service.send("redis", signal.SIGSTOP)
    try:
        _outage(service, "redis")
    finally:
        service.send("redis", signal.SIGCONT)
    return time.monotonic()


def redis_wiped(service: Service, enough: Event) -> float:
    """Make Redis lose all of its data."""
    enough.wait()
    service.redis().flushall()
    return time.monotonic()


def redis_full(service: Service, enough: Event) -> float:
    """Make Redis refuse every write."""
    enough.wait()
    redis = service.redis()
    redis.config_set("maxmemory", 1)
    try:
        _outage(service, "redis")
    finally:
        redis.config_set("maxmemory", 0)
    return time.monotonic()


def redis_fails_over(service: Service, enough: Event) -> float:
    """Make Redis the replica of another that is not there yet: it takes no writes until it is promoted."""
    enough.wait()
    redis = service.redis()
    redis.replicaof("127.0.0.1", "1")
    try:
        _outage(service, "redis")
    finally:
        redis.replicaof("NO", "ONE")
        with suppress(RedisAway):
            # As a failover ends: connections to the former primary are cut.
            redis.client_kill_filter(_type="normal", skipme=True)
    return time.monotonic()


def s3_killed(service: Service, enough: Event) -> float:
    """Kill the S3 server for a while."""
    enough.wait()
    with service.down("s3"):
        _outage(service, "object-store")
    return time.monotonic()


def s3_fails(mode: str, seen: bool = True) -> Fault:
    """Set the S3 server to this `mode` for a while.

    With `seen` a submission has to be refused meanwhile, and readiness has to name the object store.
    """

    def fault(service: Service, enough: Event) -> float:
        enough.wait()
        service.s3.mode = mode
        try:
            if seen:
                # The trial's own may all have been stored before. A full disk shows where one cannot be.
                assert _submission(service) == 503, "the API took a submission that cannot be stored"
            _outage(service, "object-store" if seen else None)
        finally:
            service.s3.mode = "well"
        return time.monotonic()

    return fault


def _submission(service: Service) -> int:
    """Submit a radiograph once, and return the status of the answer."""
    answer = urllib3.request(
        "POST",
        f"{service.api_url}/v1/jobs",
        fields={"image": ("image.png", image())},
        headers={"Authorization": f"Bearer {service.api_key}"},
        timeout=20,
        retries=False,
    )
    return answer.status


def _outage(service: Service, part: str | None) -> None:
    """Wait for it to pass, and see readiness name the part."""
    began, named = time.monotonic(), False
    while time.monotonic() - began < OUTAGE_SECONDS:
        answer = urllib3.request("GET", f"{service.api_url}/health/ready", timeout=20, retries=False)
        said = answer.json()
        named |= part in (said["missing"] if answer.status == 503 else said["degraded"])
        time.sleep(0.2)
    assert named or part is None, f"readiness did not name {part}"
