"""Keeps the network's stem in float32 where OpenVINO computes in bfloat16: decision 8 says why.

The mark is an attribute of a node, which Python cannot set: it is written into the network's file.
"""

import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino
from openvino import opset1
from openvino._offline_transformations import apply_moc_transformations

from model.engines.openvino_core import core

IN_FLOAT32 = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"}
"""OpenVINO names it after float16; it applies to bfloat16 as well."""


def with_exact_stem(network: openvino.Model) -> openvino.Model:
    """Mark all that comes before the first activation of a network to stay in float32."""
    # What OpenVINO rewrites when it compiles loses its mark; so that is rewritten first.
    apply_moc_transformations(network, cf=False)
    stem = set()
    for node in network.get_ordered_ops():
        if node.get_type_name() == "Relu":
            break
        stem.add(_plain(node).get_friendly_name())
    with TemporaryDirectory() as folder:
        graph, weights = Path(folder, "network.xml"), Path(folder, "network.bin")
        openvino.serialize(network, graph, weights)
        tree = ET.parse(graph)  # noqa: S314 - written the line before
        for layer in tree.iter("layer"):
            if layer.get("name") in stem:
                attributes = layer.find("rt_info")
                if attributes is None:
                    attributes = ET.SubElement(layer, "rt_info")
                ET.SubElement(attributes, "attribute", IN_FLOAT32)
        tree.write(graph)
        return core().read_model(graph, weights)


def _plain(node: openvino.Node) -> openvino.Node:
    """Replace a border or a pool by an operation that is compiled as it is; return it, or the node itself."""
    given = node.input_values()
    match node.get_type_name():
        case "Pad":
            plain = opset1.pad(*given[:3], "constant", given[3])
        case "MaxPool":
            how = node.get_attributes()
            sides = [how[side] for side in ("strides", "pads_begin", "pads_end", "kernel")]
            plain = opset1.max_pool(*given, *sides, how["rounding_type"], how["auto_pad"])
        case _:
            return node
    plain.set_friendly_name(node.get_friendly_name())
    node.output(0).replace(plain.output(0))
    return plain
