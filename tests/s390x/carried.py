"""Makes on x86 what the s390x root reads: pictures, a small bundle, and the facts about them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from model.bundle import CARD, CHECK, Bundle, read_bundle, write_bundle
from model.onnx_graph import to_onnx
from model.weights import write_weights
from stack.part import ROOT
from tests.s390x import facts
from tests.s390x.pictures import drawn

PICTURES, SMALL, FACTS = "pictures", "bundle", "facts.json"
ANSWERED = ("png", "dicom, big-endian")
"""Pictures that the network is asked about."""
SIDE = 32
"""Pixels on a side of what the small network sees: a worker warms up on nine such pictures, emulated."""
BUNDLED = ROOT / "model" / "bundle"


def carry(folder: Path, full: bool) -> None:
    """Fill `folder`; with `full`, the bundled network's answers too."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / PICTURES).mkdir(parents=True)
    pictures = drawn()
    for name, file in pictures.items():
        (folder / PICTURES / name).write_bytes(file)
    small = small_bundle(folder / SMALL)
    asked = [pictures[name] for name in ANSWERED]
    known = {
        **facts.of_everything(pictures, small),
        "answers": facts.of_answers(small, asked),
        **({"answers in full": facts.of_answers(read_bundle(BUNDLED), asked)} if full else {}),
    }
    (folder / FACTS).write_text(json.dumps(known, indent=1))


def small_bundle(folder: Path) -> Bundle:
    """An untrained network that emulation runs in seconds. ONNX graphs are made on x86 alone.

    Its vectors are drawn, too: as Keras makes them, it would answer much the same to any picture.
    """
    import keras
    import numpy as np

    from model.network import build
    from tests.model.conftest import DESCRIPTION
    from training.radiograph_check.fit import NO_CHECK

    keras.utils.set_random_seed(1)
    description = replace(DESCRIPTION, input_size=SIDE)
    network = build(description.input_size, description.backbone)
    random = np.random.default_rng(1)
    for weight in network.weights:
        if len(weight.shape) == 1:
            spread = (0.5, 1.5) if weight.name in ("gamma", "moving_variance") else (-0.5, 0.5)
            weight.assign(random.uniform(*spread, weight.shape))
    return write_bundle(
        folder,
        description,
        lambda path: write_weights(path, network),
        to_onnx(network),
        {CHECK: NO_CHECK.to_json(), CARD: "# untrained\n"},
    )
