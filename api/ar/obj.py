"""Writes a scene as Wavefront OBJ, which DICOM can encapsulate, with its materials and pictures in a zip."""

import io
import json
import zipfile
from collections.abc import Iterator

from api.ar.scene import NOT_FOR_DIAGNOSIS, Part, Scene

MEDIA_TYPE = "application/zip"
OBJ = "model/obj"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def obj_of(scene: Scene) -> bytes:
    """Write the scene. Each group and each part is a group with its name; `scene.json` has the facts."""
    parts = [part for group in scene.groups for part in group.parts]
    files = {
        "scene.obj": "\n".join(_objects(scene)).encode(),
        "scene.mtl": "\n".join(line for part in parts for line in _material(part)).encode(),
        "scene.json": json.dumps({"copyright": NOT_FOR_DIAGNOSIS, "osteo": dict(scene.facts)}).encode(),
    }
    files |= {f"{part.name}.png": part.picture for part in parts if part.picture is not None}
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return package.getvalue()


def _objects(scene: Scene) -> Iterator[str]:
    yield from (f"# {NOT_FOR_DIAGNOSIS}", "# unit: metre", f"# {scene.facts['scale_uncertainty']['says']}")
    yield from ("mtllib scene.mtl", "vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1")
    first = 1
    for group in scene.groups:
        for part in group.parts:
            yield from (f"g {group.name} {part.name}", f"usemtl {part.name}")
            for quad in part.quads:
                yield from (f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in quad)
                yield "f " + " ".join(f"{first + corner}/{corner + 1}" for corner in range(4))
                first += 4
    yield ""


def _material(part: Part) -> Iterator[str]:
    # Unlit: `illum 0` is a colour without light, `Ke` what shines in programs that know no `illum`.
    yield f"newmtl {part.name}"
    if part.picture is None:
        colour = " ".join(f"{one / 255:.4f}" for one in part.colour)
        yield from ("illum 0", f"Kd {colour}", f"Ke {colour}", "")
    else:
        yield from ("illum 0", "Kd 1 1 1", f"map_Kd {part.name}.png", f"map_Ke {part.name}.png", "")
