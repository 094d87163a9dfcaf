"""Loads the bundle's network in Keras, as every rival runs it: same weights, pixels and outputs."""

import os
from pathlib import Path

import keras
import numpy as np

from model.bundle import WEIGHTS, read_bundle
from model.decode.image import decode
from model.letterbox import to_input
from model.network import FRACTURE, WHERE, build
from model.weights import read_weights

BATCH = 8
BUNDLE = read_bundle(Path(os.environ["OSTEO_BUNDLE"]))
SIZE = BUNDLE.description.input_size


def load() -> keras.Model:
    """Load the network, and run it once."""
    network = build(SIZE, BUNDLE.description.backbone)
    read_weights(BUNDLE.folder / WEIGHTS, network)
    for batch in (1, BATCH):
        network.predict(np.zeros((batch, SIZE, SIZE, 1), np.float32), verbose=0)
    return network


def prepare(image: bytes) -> np.ndarray:
    """Make the network's input of an image file, float32 (size, size, 1)."""
    return to_input(decode(image).pixels, SIZE)


def predict(network: keras.Model, inputs: np.ndarray) -> list[dict[str, object]]:
    """Answer inputs (n, size, size, 1), as JSON has it."""
    outputs = network.predict(inputs, verbose=0)
    return [
        {"score": float(score), "cells": cells.round(3).tolist()}
        for score, cells in zip(outputs[FRACTURE][:, 0], outputs[WHERE][..., 0], strict=True)
    ]
