"""Measures what traces cost: `python -m tests.traces_cost` runs the service with and without, in turn."""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from unittest.mock import patch

import urllib3

from tests.chaos.service import Service
from tests.chaos.stand_in import image
from tests.otlp import listening

JOBS, ROUNDS, THREADS = 100, 9, 8
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def seconds(service: Service) -> float:
    """The time of JOBS jobs from the first submission to the last callback."""
    wanted = len(service.receiver.callbacks) + JOBS
    pool = urllib3.PoolManager(maxsize=THREADS, headers={"Authorization": f"Bearer {service.api_key}"})

    def submit(_: int) -> None:
        fields = {"image": ("image", image()), "callback_url": service.receiver.url}
        answer = pool.request("POST", f"{service.api_url}/v1/jobs", fields=fields)
        assert answer.status == 202, answer.data

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(submit, range(JOBS)))
    while len(service.receiver.callbacks) < wanted:
        time.sleep(0.005)
    return time.monotonic() - began


def main() -> None:
    """Print the seconds of every round and the median of their ratios."""
    with ExitStack() as stack:
        collector = stack.enter_context(listening())
        services = []
        for endpoint in ("", collector.url):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with patch.dict(os.environ, {ENDPOINT: endpoint}):
                services.append(stack.enter_context(Service(folder)))
        for service in services:
            seconds(service)
        rounds = []
        for number in range(ROUNDS):
            order = services if number % 2 else services[::-1]
            taken = {service: seconds(service) for service in order}
            rounds.append([taken[service] for service in services])
            print(*(f"{one:.2f}" for one in rounds[-1]), file=sys.stderr)
        assert collector.spans()
    ratio = median(on / off for off, on in rounds)
    medians = [median(column) for column in zip(*rounds, strict=True)]
    print(json.dumps({"jobs": JOBS, "seconds": medians, "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    main()
