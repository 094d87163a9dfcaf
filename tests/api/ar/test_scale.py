"""The true size of a scene, as other libraries read it, for each way in which DICOM says a spacing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.ar.scale import scale_of
from tests.api.ar.conftest import radiograph, scene, succeeded
from tests.api.ar.peers import needs_package
from tests.api.conftest import Api
from tests.results import succeeded_job

ROWS, COLUMNS = 96, 128
CASES = {
    "detector alone": ({"ImagerPixelSpacing": [0.2, 0.1]}, [0.2, 0.1], "detector"),
    "magnification of one": (
        {"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": 1.0},
        *([0.2, 0.1], "detector"),
    ),
    "magnification": (
        {"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": 1.3},
        *([0.2 / 1.3, 0.1 / 1.3], "calibrated"),
    ),
    "pixel spacing alone": ({"PixelSpacing": [0.15, 0.15]}, [0.15, 0.15], "unstated"),
    "both": ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.16, 0.16]}, [0.16, 0.16], "calibrated"),
    "both alike, and a magnification": (
        {
            **{"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]},
            "EstimatedRadiographicMagnificationFactor": 1.3,
        },
        *([0.2 / 1.3, 0.2 / 1.3], "calibrated"),
    ),
    "both, and a magnification": (
        {
            **{"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.16, 0.16]},
            "EstimatedRadiographicMagnificationFactor": 1.25,
        },
        *([0.16, 0.16], "calibrated"),
    ),
}
each_case = pytest.mark.parametrize(("attributes", "spacing", "plane"), CASES.values(), ids=CASES)


def size_m(spacing: list[float]) -> np.ndarray:
    """Width, height and depth of the radiograph in metres."""
    return np.array([COLUMNS * spacing[1], ROWS * spacing[0], 0]) / 1000


@needs_package("pygltflib")
@each_case
def test_pygltflib_reads_the_true_size(api: Api, attributes: dict, spacing: list[float], plane: str):
    from pygltflib import GLTF2

    answer = scene(api, succeeded(api, radiograph(**attributes)))
    read = GLTF2.load_from_bytes(answer.data)
    picture = next(node for node in read.nodes if node.name == "picture")
    accessor = read.accessors[read.meshes[picture.mesh].primitives[0].attributes.POSITION]
    view = read.bufferViews[accessor.bufferView]
    corners = np.frombuffer(read.binary_blob(), "<f4", 3 * accessor.count, view.byteOffset).reshape(-1, 3)
    found = corners.max(axis=0) - corners.min(axis=0)
    assert np.abs(found - size_m(spacing)).max() < 1e-6
    assert np.allclose(corners.mean(axis=0), 0, atol=1e-9)
    assert (accessor.min, accessor.max) == (corners.min(axis=0).tolist(), corners.max(axis=0).tolist())
    facts = read.asset.extras["osteo"]
    assert facts["spacing_plane"] == plane
    assert np.allclose(facts["spacing_mm"], spacing)
    factor = attributes.get("EstimatedRadiographicMagnificationFactor")
    assert facts.get("magnification") == (factor if factor == 1.3 else None)


@needs_package("pxr")
@each_case
def test_usd_reads_the_true_size_in_metres(
    api: Api, attributes: dict, spacing: list[float], plane: str, tmp_path: Path
):
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(usdz(api, attributes, tmp_path)))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    bounds = UsdGeom.BBoxCache(Usd.TimeCode.Default(), ["default"])
    found = bounds.ComputeWorldBound(stage.GetPrimAtPath("/scene/radiograph")).ComputeAlignedRange()
    assert np.abs(np.array(found.GetSize()) - size_m(spacing)).max() < 1e-6
    facts = stage.GetRootLayer().customLayerData["osteo"]
    assert facts["spacing_plane"] == plane
    assert np.allclose(facts["spacing_mm"], spacing)


def usdz(api: Api, attributes: dict[str, Any], folder: Path) -> Path:
    """Save a scene as USDZ."""
    file = folder / "scene.usdz"
    file.write_bytes(scene(api, succeeded(api, radiograph(**attributes)), "model/vnd.usdz+zip").data)
    return file


@pytest.mark.parametrize(
    ("plane", "least", "most", "words"),
    [
        ("detector", 0.8, 1.0, "up to 25 % larger than in the patient"),
        ("calibrated", 0.95, 1.05, "± 5 %"),
        ("unstated", 0.8, 1.05, "does not say in which plane"),
    ],
)
def test_the_error_of_the_scale_is_said_for_each_plane(plane: str, least, most, words: str):
    job = succeeded_job()
    acquisition = {**(job.acquisition or {}), "spacing_plane": plane}
    facts = scale_of(replace(job, acquisition=acquisition), None).facts()
    assert facts["scale_uncertainty"]["least"] == pytest.approx(least)
    assert facts["scale_uncertainty"]["most"] == pytest.approx(most)
    assert words in facts["scale_uncertainty"]["says"]
