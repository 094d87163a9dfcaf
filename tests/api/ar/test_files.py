"""The files of a scene, before the validators and readers that other people wrote."""

import io
import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.api.ar.conftest import radiograph, scene, succeeded
from tests.api.ar.peers import NPM, needs_npm, needs_package
from tests.api.conftest import RESULT, ROOT, Api

USDZ = "model/vnd.usdz+zip"
ATTRIBUTES = {"ImagerPixelSpacing": [0.2, 0.1], "ImageLaterality": "L", "PatientOrientation": ["L", "F"]}
NOTHING_FOUND = {
    **{"finding": "no_fracture", "probability": 0.02, "regions": []},
    "model": RESULT["model"] | {"name": 'A "model" \\ of ours'},
}


@needs_npm("gltf-validator")
def test_the_khronos_validator_finds_no_error_and_no_warning(api: Api, tmp_path: Path):
    answers = [
        scene(api, succeeded(api, radiograph(**ATTRIBUTES))),
        scene(api, succeeded(api, radiograph(**ATTRIBUTES), NOTHING_FOUND)),
        scene(api, succeeded(api, radiograph()), query="?assume_mm=0.143"),
    ]
    files = [tmp_path / f"{number}.glb" for number in range(len(answers))]
    for file, answer in zip(files, answers, strict=True):
        file.write_bytes(answer.data)
    ran = subprocess.run(
        ["node", ROOT / "tests/peers/validate_glb.cjs", *files],
        env={**os.environ, "NODE_PATH": str(NPM)},
        capture_output=True,
        text=True,
        check=True,
    )
    for issues in json.loads(ran.stdout):
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]
        assert {message["code"] for message in issues["messages"]} <= {"IMAGE_NPOT_DIMENSIONS"}


@needs_package("pxr")
@pytest.mark.parametrize("result", [None, NOTHING_FOUND], ids=["regions", "none"])
def test_every_validator_of_usd_finds_nothing(api: Api, tmp_path: Path, result: dict | None):
    from pxr import Usd, UsdValidation

    file = tmp_path / "scene.usdz"
    file.write_bytes(scene(api, succeeded(api, radiograph(**ATTRIBUTES), result), USDZ).data)
    stage = Usd.Stage.Open(str(file))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert {"usdUtilsValidators:UsdzPackageValidator", "usdValidation:CompositionErrorTest"} <= {
        validator.GetMetadata().name for validator in validators
    }
    found = UsdValidation.ValidationContext(validators).Validate(stage)
    assert [(error.GetName(), error.GetMessage()) for error in found] == []


@needs_package("pxr")
def test_usd_reads_facts_anchor_names_and_textures(api: Api, tmp_path: Path):
    from pxr import Usd, UsdShade

    job, file = succeeded(api, radiograph(**ATTRIBUTES), NOTHING_FOUND), tmp_path / "scene.usdz"
    file.write_bytes(scene(api, job, USDZ).data)
    stage = Usd.Stage.Open(str(file))
    said = stage.GetRootLayer().customLayerData
    assert said["copyright"] == "not for diagnosis"
    assert said["osteo"]["model"]["name"] == NOTHING_FOUND["model"]["name"]
    assert (said["osteo"]["state"], said["osteo"]["laterality"]) == ("no_finding", "L")
    assert [*said["osteo"]["orientation"]] == ["L", "F"]
    root = stage.GetDefaultPrim()
    assert root.GetAttribute("preliminary:anchoring:type").Get() == "plane"
    assert [prim.GetName() for prim in root.GetChildren()] == ["radiograph", "ruler", "materials"]
    mesh = stage.GetPrimAtPath("/scene/radiograph/picture")
    material, _ = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()
    surface, *_ = material.ComputeSurfaceSource("")
    (texture,) = surface.GetInput("emissiveColor").GetConnectedSources()[0]
    name = UsdShade.Shader(texture.source.GetPrim()).GetInput("file").Get()
    with zipfile.ZipFile(file) as archive:
        heatmap = api.request("GET", f"/v1/jobs/{job.id}/heatmap").data
        assert archive.read(name.path.rpartition("/")[2]) == heatmap


def test_a_usdz_is_stored_and_aligned_to_64_bytes_with_its_layer_first(api: Api):
    data = scene(api, succeeded(api, radiograph(**ATTRIBUTES)), USDZ).data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == ["scene.usda", "picture.png", "back.png", "label.png"]
    for entry in entries:
        assert (entry.compress_type, entry.flag_bits & 0x9) == (zipfile.ZIP_STORED, 0)
        header = data[entry.header_offset :][:30]
        name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        assert (entry.header_offset + 30 + name + extra) % 64 == 0, entry.filename


def test_an_obj_has_the_same_corners_groups_and_pictures(api: Api):
    job = succeeded(api, radiograph(**ATTRIBUTES))
    with zipfile.ZipFile(io.BytesIO(scene(api, job, "model/obj").data)) as archive:
        lines = archive.read("scene.obj").decode().splitlines()
        materials = archive.read("scene.mtl").decode()
        names = set(archive.namelist())
        facts = json.loads(archive.read("scene.json"))
    groups = [line.split()[1:] for line in lines if line.startswith("g ")]
    assert groups[:4] == [
        ["radiograph", "picture"],
        ["radiograph", "back"],
        ["regions", "region_1"],
        ["regions", "region_2"],
    ]
    corners = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert np.allclose(corners[:8].max(axis=0) - corners[:8].min(axis=0), [0.0128, 0.0192, 0], atol=1e-9)
    used = [line.split()[1] for line in lines if line.startswith("usemtl")]
    assert all(f"newmtl {name}\n" in materials for name in used)
    assert names >= {"picture.png", "back.png", "label.png"}
    assert facts["copyright"] == "not for diagnosis"
    assert facts["osteo"]["spacing_mm"] == [0.2, 0.1]
    assert "# unit: metre" in lines
