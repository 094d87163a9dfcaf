"""The engines against each other and against Keras's own `predict`, on the same inputs, in one run.

    .venv/bin/python -m benchmarks.engines

Every engine runs in turn, round after round, so that a machine whose speed drifts favours none; a figure is
the median over the rounds. Prints JSON, one entry a figure.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
from tqdm import tqdm

from model.bundle import WEIGHTS, Bundle, read_bundle
from model.engines import ENGINES, Engine, start
from model.letterbox import to_input
from model.network import build
from model.synthetic import draw_forearm
from model.weights import read_weights

BATCH = 8
GOAL = 8.0
"""How many times as fast as `predict`, one by one, the best engine has to be."""


def main() -> int:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("model/bundle"))
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    bundle = read_bundle(arguments.bundle)
    print(json.dumps(entries(rates(bundle, arguments.rounds)), indent=2))
    return 0


def rates(bundle: Bundle, rounds: int) -> dict[str, float]:
    """Radiographs a second by name: each installed engine, one by one and in full batches, and `predict`."""
    size = bundle.description.input_size
    inputs = np.stack([to_input(draw_forearm(seed).pixels, size) for seed in range(BATCH)])
    network = build(size, bundle.description.backbone)
    read_weights(bundle.folder / WEIGHTS, network)
    engines = [start(name, bundle, lambda _: None) for name in ENGINES if find_spec(name)]
    works = {"keras predict, one by one": (1, lambda: network.predict(inputs[:1], verbose=0))}
    for engine in engines:
        for batch, how in ((1, "one by one"), (BATCH, f"in batches of {BATCH}")):
            works[f"{engine.name}, {how}"] = (batch, _running(engine, inputs[:batch]))
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in tqdm(range(rounds + 1), "rounds"):
        for name, (_, work) in works.items():
            began = time.perf_counter()
            work()
            if turn:  # The first one warms up.
                seconds[name].append(time.perf_counter() - began)
    return {name: batch / median(seconds[name]) for name, (batch, _) in works.items()}


def entries(found: dict[str, float]) -> list[dict[str, object]]:
    """The figures as benchmarks/results.json has them."""
    reference = "keras predict, one by one"
    best = max(found, key=lambda name: found[name])
    return [
        {
            "name": name,
            "value": round(rate, 2),
            "unit": "radiographs/s",
            "reference": reference,
            "ratio": round(rate / found[reference], 2),
            "goal": GOAL if name == best else None,
            "holds": rate / found[reference] >= GOAL if name == best else None,
        }
        for name, rate in found.items()
    ]


def _running(engine: Engine, inputs: np.ndarray) -> Callable[[], object]:
    return lambda: engine.run(inputs)


if __name__ == "__main__":
    sys.exit(main())
