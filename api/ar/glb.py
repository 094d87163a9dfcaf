"""Writes a scene as GLB: glTF 2.0 in one file. Numbers are little-endian on any machine."""

import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from api.ar.scene import NOT_FOR_DIAGNOSIS, Part, Quads, Scene

MEDIA_TYPE = "model/gltf-binary"
_MAGIC, _VERSION, _JSON, _BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT, _UNSIGNED_SHORT = 5126, 5123
_VERTICES, _INDICES = 34962, 34963
_CLAMP_TO_EDGE, _LINEAR, _MIPMAPS = 33071, 9729, 9987
_UNLIT = "KHR_materials_unlit"
_TRIANGLES = np.array([0, 1, 2, 0, 2, 3])
_TEXTURED = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
"""The corners of a picture, at the corners of its rectangle; glTF counts from the upper left."""


class _Kind(NamedTuple):
    """What an accessor describes: `size` is the bytes of one element."""

    name: str
    component: int
    size: int
    target: int


_VECTOR_2, _VECTOR_3 = _Kind("VEC2", _FLOAT, 8, _VERTICES), _Kind("VEC3", _FLOAT, 12, _VERTICES)
_INDEX = _Kind("SCALAR", _UNSIGNED_SHORT, 2, _INDICES)


def glb_of(scene: Scene) -> bytes:
    """Write the scene. Each group and each part is a node with its name."""
    file = _File(scene)
    text = json.dumps(file.document()).encode()
    parts = _chunk(_JSON, text, b" ") + _chunk(_BIN, bytes(file.binary), b"\0")
    return struct.pack("<III", _MAGIC, _VERSION, 12 + len(parts)) + parts


def _chunk(kind: int, body: bytes, filler: bytes) -> bytes:
    body += filler * (-len(body) % 4)
    return struct.pack("<II", len(body), kind) + body


class _File:
    """The lists of a glTF document, which refer to each other by place, and the bytes that they describe."""

    def __init__(self, scene: Scene) -> None:
        self.binary = bytearray()
        self._facts = scene.facts
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []
        self._meshes: list[dict[str, Any]] = []
        self._nodes: list[dict[str, Any]] = []
        self._roots: list[int] = []
        for group in scene.groups:
            children = [self._node(part) for part in group.parts]
            self._nodes.append({"name": group.name, "children": children})
            self._roots.append(len(self._nodes) - 1)

    def document(self) -> dict[str, Any]:
        """Return the document, as it goes into the first chunk."""
        sampler = {"magFilter": _LINEAR, "minFilter": _MIPMAPS}
        return {
            "asset": {
                "version": "2.0",
                "generator": "Osteo-Synergy",
                "copyright": NOT_FOR_DIAGNOSIS,
                "extras": {"osteo": dict(self._facts)},
            },
            "extensionsUsed": [_UNLIT],
            "scene": 0,
            "scenes": [{"nodes": self._roots}],
            "nodes": self._nodes,
            "meshes": self._meshes,
            "materials": self._materials,
            "textures": [{"sampler": 0, "source": place} for place in range(len(self._images))],
            "samplers": [sampler | {"wrapS": _CLAMP_TO_EDGE, "wrapT": _CLAMP_TO_EDGE}],
            "images": self._images,
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(self.binary)}],
        }

    def _node(self, part: Part) -> int:
        attributes = {"POSITION": self._positions(part.quads)}
        if part.picture is not None:
            corners = np.tile(_TEXTURED, (len(part.quads), 1)).astype("<f4").tobytes()
            attributes["TEXCOORD_0"] = self._accessor(corners, _VECTOR_2)
        firsts = 4 * np.arange(len(part.quads))[:, None]
        indices = (firsts + _TRIANGLES).astype("<u2").tobytes()
        primitive = {
            "attributes": attributes,
            "indices": self._accessor(indices, _INDEX),
            "material": self._material(part),
        }
        self._meshes.append({"name": part.name, "primitives": [primitive]})
        extras = {"extras": dict(part.extras)} if part.extras else {}
        self._nodes.append({"name": part.name, "mesh": len(self._meshes) - 1, **extras})
        return len(self._nodes) - 1

    def _positions(self, quads: Quads) -> int:
        corners = quads.reshape(-1, 3).astype(np.float32)
        place = self._accessor(corners.astype("<f4").tobytes(), _VECTOR_3)
        self._accessors[place] |= {
            "min": corners.min(axis=0).tolist(),
            "max": corners.max(axis=0).tolist(),
        }
        return place

    def _accessor(self, data: bytes, kind: _Kind) -> int:
        described = {"componentType": kind.component, "count": len(data) // kind.size, "type": kind.name}
        self._accessors.append({"bufferView": self._view(data, target=kind.target), **described})
        return len(self._accessors) - 1

    def _view(self, data: bytes, **described: int) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        self._views.append(view | described)
        self.binary += data
        return len(self._views) - 1

    def _material(self, part: Part) -> int:
        look: dict[str, Any] = {"metallicFactor": 0, "roughnessFactor": 1}
        if part.picture is None:
            look["baseColorFactor"] = _linear(part.colour)
        else:
            self._images.append(
                {"name": part.name, "mimeType": "image/png", "bufferView": self._view(part.picture)}
            )
            look["baseColorTexture"] = {"index": len(self._images) - 1}
        self._materials.append(
            {
                "name": part.name,
                "pbrMetallicRoughness": look,
                "alphaMode": "BLEND",
                "extensions": {_UNLIT: {}},
            }
        )
        return len(self._materials) - 1


def _linear(colour: Iterable[int]) -> Sequence[float]:
    """Turn a colour of sRGB into the linear one that glTF has, opaque."""
    return [round((one / 255) ** 2.2, 4) for one in colour] + [1.0]
