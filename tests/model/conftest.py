"""A bundle that is untrained and small, and therefore quick: ResNet50V2 at 64 pixels."""

from dataclasses import replace
from pathlib import Path

import keras
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
from training.network.growth import transfer
from training.radiograph_check.fit import NO_CHECK

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


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write(tmp_path_factory.mktemp("model") / "bundle", DESCRIPTION, untrained())


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same network grown to ResNet101V2, whose new blocks are idle."""
    deeper = replace(DESCRIPTION, backbone="ResNet101V2")
    network = build(deeper.input_size, deeper.backbone)
    transfer(untrained(), network)
    return write(tmp_path_factory.mktemp("model") / "grown", deeper, network)


def untrained() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build(DESCRIPTION.input_size, DESCRIPTION.backbone)


def write(folder: Path, description: Description, network: keras.Model) -> Bundle:
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
