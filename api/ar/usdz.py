"""Writes a scene as USDZ, for Apple's Quick Look: a layer of USD in text, and its pictures, in a stored zip.

The text is written here: usd-core, which could write it, has no wheel for s390x. USDZ allows text, and
the exporter of three.js writes it for Quick Look, too.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from api.ar.scene import NOT_FOR_DIAGNOSIS, Group, Part, Scene

MEDIA_TYPE = "model/vnd.usdz+zip"
_ALIGNED = 64
"""Each file begins at a multiple of so many bytes, so that a reader can map it."""
_LOCAL_HEADER, _EXTRA_HEADER, _PADDING_ID = 30, 4, 0x1986
_EPOCH = (1980, 1, 1, 0, 0, 0)
_STEP = "    "


def usdz_of(scene: Scene) -> bytes:
    """Write the scene. Each group and each part is a prim with its name, below /scene."""
    files = {"scene.usda": layer_of(scene).encode()}
    files |= {f"{part.name}.png": part.picture for part in _parts(scene) if part.picture is not None}
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            begin = package.tell() + _LOCAL_HEADER + len(name) + _EXTRA_HEADER
            padding = bytes(-begin % _ALIGNED)
            entry.extra = _PADDING_ID.to_bytes(2, "little") + len(padding).to_bytes(2, "little") + padding
            archive.writestr(entry, data)
    return package.getvalue()


def layer_of(scene: Scene) -> str:
    """Write the layer of USD that describes the scene, in metres, with +Y upwards."""
    metadata = [
        *_dictionary("customLayerData", {"copyright": NOT_FOR_DIAGNOSIS, "osteo": scene.facts}),
        'defaultPrim = "scene"',
        "metersPerUnit = 1",
        'upAxis = "Y"',
    ]
    content = [
        'uniform token preliminary:anchoring:type = "plane"',
        'uniform token preliminary:planeAnchoring:alignment = "any"',
        *(line for group in scene.groups for line in _group(group)),
        *_prim("Scope", "materials", (), (line for part in _parts(scene) for line in _material(part))),
    ]
    root = _prim("Xform", "scene", ['prepend apiSchemas = ["Preliminary_AnchoringAPI"]'], content)
    return "\n".join(["#usda 1.0", "(", *_deeper(metadata), ")", "", *root, ""])


def _parts(scene: Scene) -> list[Part]:
    return [part for group in scene.groups for part in group.parts]


def _group(group: Group) -> list[str]:
    return _prim("Xform", group.name, (), (line for part in group.parts for line in _mesh(part)))


def _mesh(part: Part) -> list[str]:
    corners, count = part.quads.reshape(-1, 3), len(part.quads)
    metadata = ['prepend apiSchemas = ["MaterialBindingAPI"]']
    if part.extras:
        metadata += _dictionary("customData", {"osteo": part.extras})
    return _prim(
        "Mesh",
        part.name,
        metadata,
        [
            "uniform bool doubleSided = 0",
            f"float3[] extent = {_tuples((corners.min(axis=0), corners.max(axis=0)))}",
            f"int[] faceVertexCounts = {[4] * count}",
            f"int[] faceVertexIndices = {[*range(4 * count)]}",
            f"rel material:binding = </scene/materials/{part.name}>",
            f"point3f[] points = {_tuples(corners)}",
            f"texCoord2f[] primvars:st = {_tuples([(0, 0), (1, 0), (1, 1), (0, 1)] * count)} (",
            f'{_STEP}interpolation = "vertex"',
            ")",
            'uniform token subdivisionScheme = "none"',
        ],
    )


def _material(part: Part) -> list[str]:
    """Write a material that shines by itself: light of the room changes no gray of the radiograph."""
    here, shaders = f"/scene/materials/{part.name}", []
    if part.picture is None:
        shine = f"color3f inputs:emissiveColor = {_tuple(one / 255 for one in part.colour)}"
    else:
        shine = f"color3f inputs:emissiveColor.connect = <{here}/texture.outputs:rgb>"
        corners = [
            'uniform token info:id = "UsdPrimvarReader_float2"',
            'string inputs:varname = "st"',
            "float2 outputs:result",
        ]
        texture = [
            'uniform token info:id = "UsdUVTexture"',
            f"asset inputs:file = @{part.name}.png@",
            'token inputs:sourceColorSpace = "sRGB"',
            f"float2 inputs:st.connect = <{here}/corners.outputs:result>",
            'token inputs:wrapS = "clamp"',
            'token inputs:wrapT = "clamp"',
            "float3 outputs:rgb",
        ]
        shaders += _prim("Shader", "corners", (), corners) + _prim("Shader", "texture", (), texture)
    surface = [
        'uniform token info:id = "UsdPreviewSurface"',
        "color3f inputs:diffuseColor = (0, 0, 0)",
        shine,
        "float inputs:roughness = 1",
        "token outputs:surface",
    ]
    content = [f"token outputs:surface.connect = <{here}/surface.outputs:surface>"]
    return _prim("Material", part.name, (), content + _prim("Shader", "surface", (), surface) + shaders)


def _prim(kind: str, name: str, metadata: Iterable[str], content: Iterable[str]) -> list[str]:
    described = [" (", *_deeper(metadata), ")"] if metadata else [""]
    return [f'def {kind} "{name}"{described[0]}', *described[1:], "{", *_deeper(content), "}"]


def _dictionary(name: str, facts: Mapping[str, Any], keyword: str = "") -> list[str]:
    """Write what is known of the facts as a dictionary of USD, which has no null."""
    known = [_fact(key, value) for key, value in facts.items() if value is not None]
    return [f"{keyword}{name} = {{", *_deeper(line for lines in known for line in lines), "}"]


def _fact(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return _dictionary(name, value, "dictionary ")
    kind, many = (_kind(value[0]), "[]") if isinstance(value, list) else (_kind(value), "")
    # JSON has the same texts, numbers and lists; USD has 0 and 1 for what is false and true.
    return [
        f"{kind}{many} {name} = {json.dumps(int(value) if kind == 'bool' else value, ensure_ascii=False)}"
    ]


def _kind(value: Any) -> str:
    return {bool: "bool", int: "int", float: "double"}.get(type(value), "string")


def _tuples(rows: Iterable[Iterable[float]]) -> str:
    return f"[{', '.join(map(_tuple, rows))}]"


def _tuple(numbers: Iterable[float]) -> str:
    return f"({', '.join(f'{number:.9g}' for number in numbers)})"


def _deeper(lines: Iterable[str]) -> list[str]:
    return [_STEP + line for line in lines]
