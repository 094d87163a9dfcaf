"""Writes a bundle's network as an ONNX graph whose convolutions run in int8.

It is the bundle's own graph with QuantizeLinear and DequantizeLinear around convolutions (QDQ): OpenVINO and
ONNX Runtime turn that into arithmetic in int8. Kernels keep the int8 values of the weight file.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from model.bundle import WEIGHTS, Bundle
from model.errors import BundleRefused
from model.network import WHERE
from model.onnx_graph import with_weights
from model.weights import int8_kernels

if TYPE_CHECKING:
    import onnx

LEVELS = 255
"""Steps of an activation: 8 bits without a sign, as all of them come from a ReLU."""
_LEAST_SCALE = 1e-12
"""The scale of a channel that batch normalisation multiplies by zero: engines divide by it."""


def in_int8(bundle: Bundle, ranges: Mapping[str, float]) -> bytes:
    """Write the graph with its weights; `ranges` names the convolutions that run in int8.

    A range is the largest value that the convolution's input is taken for. All else stays in float.

    Raises BundleRefused where a range is of no convolution of the network.
    """
    import onnx

    model = onnx.load_from_string(with_weights(bundle))
    if unknown := set(ranges) - set(inputs_of_convolutions(model.graph)):
        raise BundleRefused(
            f"there is a range for {min(unknown)}, which is no convolution of this network that can run in "
            "int8; draw the ranges again by python -m training.quantise"
        )
    _Int8Graph(model.graph, ranges, int8_kernels(bundle.folder / WEIGHTS)).rewrite()
    return bytes(model.SerializeToString())


def inputs_of_convolutions(graph: "onnx.GraphProto") -> dict[str, str]:
    """Map each convolution that can run in int8 to the tensor that it takes, before a border of zeros.

    These are all but the stem, which sees pixels, and the last one of the map, which gives an answer.
    """
    made_by = _made_by(graph)
    inputs = {
        _name(node, made_by): _before_border(node.input[0], made_by)
        for node in graph.node
        if node.op_type == "Conv"
    }
    return {name: given for name, given in inputs.items() if name != WHERE and given in made_by}


class _Int8Graph:
    """The nodes and constants of a graph while they are replaced, convolution by convolution."""

    def __init__(
        self,
        graph: "onnx.GraphProto",
        ranges: Mapping[str, float],
        kernels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self._graph, self._ranges, self._kernels = graph, ranges, kernels
        self._made_by = _made_by(graph)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(output.name for output in graph.output)
        self._next = {name: node for node in graph.node for name in node.input}
        self._nodes: list[onnx.NodeProto] = []
        self._quantised: dict[tuple[str, float], str] = {}

    def rewrite(self) -> None:
        """Replace the graph's nodes, and leave out those and the constants that nothing needs any more."""
        made: set[str] = set()
        for node in self._graph.node:
            if node.op_type == "Conv" and _name(node, self._made_by) in self._ranges:
                made.add(self._add_convolution(node))
            elif node.output[0] not in made:
                self._nodes.append(node)
        needed = {output.name for output in self._graph.output}
        kept = []
        for node in reversed(self._nodes):
            if needed & set(node.output):
                needed.update(node.input)
                kept.append(node)
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(reversed(kept))
        self._graph.initializer.extend(one for name, one in self._constants.items() if name in needed)

    def _add_convolution(self, node: "onnx.NodeProto") -> str:
        """Add a convolution in int8, batch normalisation folded into its scales; the name of its output."""
        from onnx import helper

        name = _name(node, self._made_by)
        kernel, scale = self._kernels[f"{name}/kernel"]
        bias = self._array(node.input[2]) if len(node.input) > 2 else np.zeros(len(scale), np.float32)
        output, after = node.output[0], self._next[node.output[0]]
        if after.op_type == "BatchNormalization" and self._uses[output] == 1:
            gamma, beta, mean, variance = (self._array(one) for one in after.input[1:])
            factor = gamma / np.sqrt(variance + _attributes(after)["epsilon"])
            # A scale has no sign: the kernel takes it.
            kernel, scale = np.where(factor < 0, -kernel, kernel), scale * np.abs(factor)
            bias, output = beta + (bias - mean) * factor, after.output[0]
        given = _before_border(node.input[0], self._made_by)
        scale = np.maximum(scale, _LEAST_SCALE).astype(np.float32)
        inputs = [
            self._quantise(given, self._ranges[name]),
            self._dequantise(f"{name}/int8", kernel.transpose(3, 2, 0, 1), scale),
            self._constant(f"{name}/folded_bias", bias.astype(np.float32)),
        ]
        attributes = _attributes(node) | {"pads": self._border(node)}
        self._nodes.append(helper.make_node("Conv", inputs, [output], output, **attributes))
        return output

    def _border(self, node: "onnx.NodeProto") -> list[int]:
        """Add the border of zeros before a convolution to its own: top, left, bottom, right."""
        own = list(_attributes(node)["pads"])
        before = self._made_by[node.input[0]]
        if before.op_type != "Pad":
            return own
        around = self._array(before.input[1])
        return [int(one + more) for one, more in zip(own, (*around[2:4], *around[6:8]), strict=True)]

    def _quantise(self, tensor: str, largest: float) -> str:
        """Round a tensor to LEVELS steps up to `largest`, once for all that take it; the output's name."""
        from onnx import helper

        if (tensor, largest) not in self._quantised:
            name = f"{tensor}/steps_{len(self._quantised)}"
            steps = [
                self._constant(f"{name}/scale", np.array(largest / LEVELS, np.float32)),
                self._constant(f"{name}/zero", np.array(0, np.uint8)),
            ]
            for kind, given in (("QuantizeLinear", tensor), ("DequantizeLinear", f"{name}/uint8")):
                made = f"{name}/uint8" if kind == "QuantizeLinear" else name
                self._nodes.append(helper.make_node(kind, [given, *steps], [made], made))
            self._quantised[tensor, largest] = name
        return self._quantised[tensor, largest]

    def _dequantise(self, name: str, values: np.ndarray, scale: np.ndarray) -> str:
        from onnx import helper

        given = [
            self._constant(f"{name}/values", values),
            self._constant(f"{name}/scale", scale),
            self._constant(f"{name}/zero", np.zeros(len(scale), np.int8)),
        ]
        self._nodes.append(helper.make_node("DequantizeLinear", given, [name], name, axis=0))
        return name

    def _constant(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def _array(self, name: str) -> np.ndarray:
        from onnx import numpy_helper

        return numpy_helper.to_array(self._constants[name])


def _made_by(graph: "onnx.GraphProto") -> dict[str, "onnx.NodeProto"]:
    return {name: node for node in graph.node for name in node.output}


def _name(node: "onnx.NodeProto", made_by: Mapping[str, "onnx.NodeProto"]) -> str:
    """Name a convolution as its layer: its kernel is that layer's, turned."""
    return str(made_by[node.input[1]].input[0].removesuffix("/kernel"))


def _before_border(tensor: str, made_by: Mapping[str, "onnx.NodeProto"]) -> str:
    """Name the tensor that a border of zeros was put around; another tensor is its own."""
    node = made_by.get(tensor)
    return str(node.input[0]) if node is not None and node.op_type == "Pad" else tensor


def _attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}
