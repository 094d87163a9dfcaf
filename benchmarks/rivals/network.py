"""Loads the bundle's network as every rival runs it: same weights, pixels and outputs.

`RIVAL_ENGINE` is `keras`, which calls `model.predict`, or `service`: the engine that the service chooses.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model.bundle import WEIGHTS, read_bundle
from model.decode.image import decode
from model.letterbox import to_input

BATCH = 8
BUNDLE = read_bundle(Path(os.environ["OSTEO_BUNDLE"]))
SIZE = BUNDLE.description.input_size
Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Takes inputs (n, size, size, 1); returns scores (n,) and cells (n, size / 16, size / 16)."""


def load() -> Network:
    """Load the network, and run it once."""
    network = _keras() if os.environ["RIVAL_ENGINE"] == "keras" else _engine()
    for batch in (1, BATCH):
        network(np.zeros((batch, SIZE, SIZE, 1), np.float32))
    return network


def _keras() -> Network:
    from model.network import FRACTURE, WHERE, build
    from model.weights import read_weights

    network = build(SIZE, BUNDLE.description.backbone)
    read_weights(BUNDLE.folder / WEIGHTS, network)

    def run(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = network.predict(inputs, verbose=0)
        return outputs[FRACTURE][:, 0], outputs[WHERE][..., 0]

    return run


def _engine() -> Network:
    from model.engines import choose, start

    engine = start(choose(None, BUNDLE), BUNDLE, lambda _: None)

    def run(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = engine.run(inputs)
        return outputs.scores, outputs.cells

    return run


def prepare(image: bytes) -> np.ndarray:
    """Make the network's input of an image file, float32 (size, size, 1)."""
    return to_input(decode(image).pixels, SIZE)


def predict(network: Network, inputs: np.ndarray) -> list[dict[str, object]]:
    """Answer inputs (n, size, size, 1), as JSON has it."""
    return [
        {"score": float(score), "cells": cells.round(3).tolist()}
        for score, cells in zip(*network(inputs), strict=True)
    ]
