"""A bundle that is untrained and small, and therefore quick: ResNet50V2 at 64 pixels."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from model.bundle import (
    CARD,
    CHECK,
    Bundle,
    Calibration,
    Description,
    RegionCalibration,
    Thresholds,
    write_bundle,
)
from model.network import build
from model.onnx_graph import to_onnx
from model.weights import write_weights

if TYPE_CHECKING:
    import keras

DESCRIPTION = Description(
    name="untrained",
    version="0.0.0",
    backbone="ResNet50V2",
    input_size=64,
    thresholds=Thresholds(low=0.2, high=0.8, region=0.02),
    calibration=Calibration(temperature=1.5, bias=-0.5),
    region_calibration=RegionCalibration(slope=1.0, bias=0.0),
    metrics={},
    data="none",
    licence="none",
)
DEEPER = replace(DESCRIPTION, backbone="ResNet101V2")


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="osteo-bundles-")


@cache
def _written(network: "Callable[[], keras.Model]") -> Bundle:
    """Write a bundle once for all modules of this process; pytest would make a fixture anew for each."""
    description = DEEPER if network is _grown else DESCRIPTION
    return write(Path(_folder().name) / description.backbone, description, network())


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return _written(untrained)


@pytest.fixture(scope="session")
def grown() -> Bundle:
    """The same network grown to ResNet101V2, whose new blocks are idle."""
    return _written(_grown)


def _grown() -> "keras.Model":
    from training.network.growth import transfer

    network = build(DEEPER.input_size, DEEPER.backbone)
    transfer(untrained(), network)
    return network


def untrained() -> "keras.Model":
    import keras

    keras.utils.set_random_seed(1)
    return build(DESCRIPTION.input_size, DESCRIPTION.backbone)


def write(folder: Path, description: Description, network: "keras.Model") -> Bundle:
    from training.radiograph_check.fit import NO_CHECK

    return write_bundle(
        folder,
        description,
        lambda path: write_weights(path, network),
        to_onnx(network),
        {CHECK: NO_CHECK.to_json(), CARD: "# untrained\n"},
    )


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle's folder, to be damaged."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for path in bundle.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
