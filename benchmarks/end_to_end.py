"""Throughput of the whole service against the bare model, on the same radiographs, in one run.

    make up                                                      # in another terminal
    .venv/bin/python -m benchmarks.end_to_end ../shared/data/fracatlas/images

Several clients send radiographs at once and poll for the results; then, with the service idle, the bare model
predicts the same radiographs from memory in full batches. Prints JSON.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import urllib3
from tqdm import tqdm

from model.classifier import Classifier
from model.image import decode

BATCH = 8
POLL_SECONDS = 0.25  # Every poll is work for the cores that are measured.


def main() -> int:
    """Measure both and print them with their ratio; 1 if a job did not succeed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of radiographs")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--bundle", type=Path, default=Path("model/bundle"))
    arguments = parser.parse_args()
    images = [path.read_bytes() for path in sorted(arguments.folder.iterdir())[: arguments.count]]
    service, latencies, states = _measure_service(images, arguments.clients)
    bare = _measure_model(images, arguments.bundle)
    print(
        json.dumps(
            {
                "radiographs": len(images),
                "clients": arguments.clients,
                "states": {state: states.count(state) for state in sorted(set(states))},
                "service_per_second": round(len(images) / service, 2),
                "bare_model_per_second": round(len(images) / bare, 2),
                "ratio": round(bare / service, 3),
                "latency_median_seconds": round(median(latencies), 2),
                "latency_longest_seconds": round(max(latencies), 2),
            },
            indent=2,
        )
    )
    return 0 if set(states) == {"succeeded"} else 1


def _measure_service(images: Sequence[bytes], clients: int) -> tuple[float, list[float], list[str]]:
    ready = json.loads((Path(os.environ.get("OSTEO_VAR") or "var") / "ready.json").read_text())
    pool = urllib3.PoolManager(maxsize=clients, headers={"Authorization": f"Bearer {ready['api_key']}"})

    def one(image: bytes) -> tuple[float, str]:
        began = time.perf_counter()
        answer = pool.request("POST", f"{ready['api']}/v1/jobs", body=image)
        job = answer.json()
        if answer.status != 202:
            return time.perf_counter() - began, job["type"]
        while job["state"] in ("queued", "running"):
            time.sleep(POLL_SECONDS)
            job = pool.request("GET", f"{ready['api']}/v1/jobs/{job['id']}").json()
        return time.perf_counter() - began, job["state"]

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(one, images[:clients]))  # Warm.
        seconds, ended = _timed(lambda: list(tqdm(threads.map(one, images), "service", len(images))))
    return seconds, [latency for latency, _ in ended], [state for _, state in ended]


def _measure_model(images: Sequence[bytes], bundle: Path) -> float:
    classifier = Classifier.load(bundle)
    radiographs = [decode(image) for image in images]
    batches = [radiographs[start : start + BATCH] for start in range(0, len(radiographs), BATCH)]
    classifier.predict(batches[0])
    seconds, _ = _timed(lambda: [classifier.predict(batch) for batch in tqdm(batches, "bare model")])
    return seconds


def _timed(work: Callable[[], list]) -> tuple[float, list]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    sys.exit(main())
