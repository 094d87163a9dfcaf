"""Simulates how many workers a load and a deadline need, calibrated with results.json.

`python -m benchmarks.capacity` writes docs/capacity.md and docs/capacity.png anew.
"""

import heapq
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.decoding import ANALYSED, SUBMITTED
from model.classifier import LARGEST_BATCH

RESULTS = Path(__file__).with_name("results.json")
DOCS = Path(__file__).parents[1] / "docs"
MINUTES, BURST_AT, MOST_JOBS = 10, 0.5, 60_000
RATES = (5.0, 20.0, 100.0, 500.0, 2000.0)
"""Radiographs a second on average."""
DEADLINES = (2.0, 10.0, 60.0)
SHARE = 0.99
_PARTS = {
    "redis": "Redis",
    "s3": "S3 server (rclone)",
    "worker": "inference worker",
    "api": "API",
    "delivery": "delivery worker",
    "sweeper": "sweeper",
}
_SERVICE, _ENGINE = "the last four: all of the service", "the engine alone, in the same round"


@dataclass(frozen=True)
class _SimulatedWorker:
    """One worker of the kind that was measured: n radiographs take `start` + n * `each` seconds.

    `overhead` is what a job takes besides: intake, queue, stores and callback.
    """

    start: float
    each: float
    overhead: float

    @property
    def rate(self) -> float:
        """Radiographs a second in full batches."""
        return LARGEST_BATCH / (self.start + LARGEST_BATCH * self.each)


def _calibrate(results: Path = RESULTS) -> _SimulatedWorker:
    """Read the times of a worker as measured end to end."""
    values = {entry["name"]: entry["value"] for entry in json.loads(results.read_text(encoding="utf-8"))}
    single = values["latency: bare inference, p50"]
    full = LARGEST_BATCH / values["end to end: throughput"]
    each = (full - single) / (LARGEST_BATCH - 1)
    return _SimulatedWorker(
        max(single - each, 0.0), each, values["latency: idle service over bare inference, p50"]
    )


def _read_costs(results: Path = RESULTS) -> tuple[dict[str, float], float]:
    """Read what each part and the engine in float cost, in ms a radiograph: core seconds a thousand."""
    entries = {entry["name"]: entry for entry in json.loads(results.read_text(encoding="utf-8"))}
    own = entries["cost: the service's processes, against the bare engine that it chooses"]
    costs = {text: entries[f"cost: {name}"]["value"] for name, text in _PARTS.items()}
    in_float = entries["cost: the service's processes, against the bare engine in float"]
    return {**costs, _SERVICE: own["value"], _ENGINE: own["reference"]}, in_float["reference"]


def _read_formats(results: Path = RESULTS) -> list[tuple[str, float, float]]:
    """Read what decoding and scaling take of the API and of the worker, in ms, for each kind of picture."""
    values = {entry["name"]: entry["value"] for entry in json.loads(results.read_text(encoding="utf-8"))}
    names = [name.split(", ")[0] for name in values if name.endswith(SUBMITTED)]
    return [
        (name.removeprefix("decoding: "), values[f"{name}, {SUBMITTED}"], values[f"{name}, {ANALYSED}"])
        for name in names
    ]


def _draw_arrivals(rate: float, burst: float, seconds: float, seed: int = 1) -> np.ndarray:
    """Draw sorted times of arrival in seconds: at random at `rate`, and `burst` at once in the middle."""
    random = np.random.default_rng(seed)
    times = random.uniform(0, seconds, random.poisson(rate * seconds))
    return np.sort(np.concatenate([times, np.full(round(burst), seconds * BURST_AT)]))


def _simulate(times: np.ndarray, workers: int, worker: _SimulatedWorker, batch: int) -> np.ndarray:
    """Compute seconds from arrival to callback, for radiographs that come at `times` (n,), sorted.

    One queue; a free worker takes at most `batch` of the radiographs that wait.
    """
    free = [0.0] * workers
    done = np.empty_like(times)
    first = 0
    while first < len(times):
        begins = max(heapq.heappop(free), times[first])
        last = min(int(np.searchsorted(times, begins, side="right")), first + batch)
        ends = begins + worker.start + (last - first) * worker.each
        done[first:last] = ends
        heapq.heappush(free, ends)
        first = last
    return done - times + worker.overhead


def _count_workers_needed(rate: float, burst: float, deadline: float, worker: _SimulatedWorker) -> int | None:
    """Find the fewest workers that answer SHARE of the radiographs within `deadline` seconds.

    Batches are as large as the deadline leaves time for. None where no number of workers would do: a single
    radiograph on an idle service takes longer.
    """
    batch = min(LARGEST_BATCH, int((deadline - worker.overhead - worker.start) / worker.each))
    if batch < 1:
        return None
    times = _draw_arrivals(rate, burst, min(MINUTES * 60, MOST_JOBS / rate))

    def enough(workers: int) -> bool:
        within = _simulate(times, workers, worker, batch) <= deadline
        return bool(np.mean(within) >= SHARE)

    # With fewer than the work alone takes, the queue grows for ever, which a short simulation does not show.
    least = math.ceil(rate / worker.rate) - 1
    most = least + 1
    while not enough(most):
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def main() -> None:
    """Run `python -m benchmarks.capacity`."""
    worker = _calibrate()
    needed: dict[tuple[bool, float, float], int | None] = {}
    for rate in tqdm(RATES, "rates"):
        for burst in (False, True):
            for deadline in DEADLINES:
                needed[burst, rate, deadline] = _count_workers_needed(
                    rate, 60 * rate * burst, deadline, worker
                )
    _draw(DOCS / "capacity.png", needed, worker)
    (DOCS / "capacity.md").write_text(_page(needed, worker), encoding="utf-8")


def _draw(path: Path, needed: dict[tuple[bool, float, float], int | None], worker: _SimulatedWorker) -> None:
    drawing = Figure(figsize=(7, 4.2), layout="constrained")
    axes = drawing.subplots()
    for burst, style in ((False, "-"), (True, "--")):
        for deadline, colour in zip(DEADLINES, ("#b3422f", "#3b6ea5", "#4b8b3b"), strict=True):
            counts = [needed[burst, rate, deadline] for rate in RATES]
            label = f"99 % within {deadline:g} s" + (", with a burst" if burst else "")
            axes.plot(
                RATES,
                [np.nan if n is None else n for n in counts],
                style,
                color=colour,
                marker="o",
                label=label,
            )
    axes.plot(RATES, [rate / worker.rate for rate in RATES], ":", color="gray", label="the work alone")
    axes.set(xscale="log", yscale="log", xlabel="radiographs a second", ylabel="workers")
    axes.legend(fontsize=8)
    drawing.savefig(path, dpi=110)


def _page(needed: dict[tuple[bool, float, float], int | None], worker: _SimulatedWorker) -> str:
    rows = "\n".join(
        f"| {rate:g} | {'a minute of it at once' if burst else 'none'} | "
        + " | ".join(str(needed[burst, rate, deadline] or "none will do") for deadline in DEADLINES)
        + " |"
        for rate in RATES
        for burst in (False, True)
    )
    costs, in_float = _read_costs()
    return PAGE.format(
        start=worker.start,
        each=worker.each,
        overhead=worker.overhead,
        rate=worker.rate,
        head=" | ".join(f"99 % within {deadline:g} s" for deadline in DEADLINES),
        rows=rows,
        costs="\n".join(f"| {part} | {value:.0f} |" for part, value in costs.items()),
        engine=costs[_ENGINE],
        in_float=in_float,
        formats="\n".join(f"| {name} | {api:.0f} | {worker:.0f} |" for name, api, worker in _read_formats()),
        service=costs[_SERVICE],
    )


PAGE = """\
# How many workers a load and a deadline need

Written by `python -m benchmarks.capacity` from `benchmarks/results.json`; do not edit it by hand.

One worker is one inference worker with the whole service beside it on two cores, as `make bench`
measured it. A batch of n radiographs takes {start:.3f} + n x {each:.3f} s, so {rate:.1f} radiographs a
second in full batches. Intake, queue, stores and callback add {overhead:.3f} s. Batches are as large as the
deadline leaves time for (`OSTEO_BATCH`). Radiographs come at random. A burst is a minute's worth of them at
the same moment. The simulation covers ten minutes, or less where that would be more than 60,000 radiographs.

| radiographs a second | burst | {head} |
| --- | --- | --- | --- | --- |
{rows}

![Workers against load, for three deadlines, with and without a burst](capacity.png)

The simulation leaves out the limits of one Redis and of one object store, workers that fail, and images
that are much larger than usual. A worker on a machine of its own does more than one here, since it does not
share two cores with the stores and the API.

## What a thousand X-rays cost

One core second is one core at work for a second. X-rays a second, times core seconds a thousand, divided by
1,000, are the cores at work. The group **cost** of `python -m benchmarks` measured this table, in the median
one of its rounds, with X-rays of 100 KB and a callback each, in int8 on two cores of an AMD EPYC with AVX-512
VNNI:

| part | core seconds a thousand X-rays |
| --- | --- |
{costs}

The engine has most of it, and the processor decides what the engine takes:

| processor and arithmetic | engine | all of the service | known from |
| --- | --- | --- | --- |
| x86 with AVX-512 VNNI, int8 | {engine:.0f} | {service:.0f} | measured, as above |
| x86 with AVX-512 BF16, bfloat16 | {in_float:.0f} | not measured | measured, in the same rounds |
| x86 with AVX2, int8 | 138 | 205 | measured earlier that day |
| x86 with AVX2, float32 | 284 | 355 | measured, the service on 29 November 2026 |
| x86 with AMX, int8 | not measured | not measured | |
| ARM, float32 | not measured | not measured | OpenVINO runs there |
| LinuxONE, float32 | not measured | not measured | ONNX Runtime [runs there](linuxone.md) |

The rest is Python, and requests to S3 and Redis. It depends on the speed of a core, and hardly on such
instructions: the two processors above differ in both. For another processor, measure the engine with
`python -m benchmarks engines`, and the whole with the group **cost**. The simulation above is of the
processor with AVX-512 VNNI, in int8.

## What a larger X-ray adds

The network sees every X-ray at the same size. Decoding and scaling depend on the file. All tables above are
of the first row here; a larger X-ray costs as much more as its row says. The API decodes no more of a file
than shows that the worker can:

| X-ray | API: core seconds a thousand X-rays | inference worker: the same |
| --- | --- | --- |
{formats}

The group **decoding** of `python -m benchmarks` measured this, with the decode processes. A JPEG costs least.
"""


if __name__ == "__main__":
    main()
