"""Writes the network as an ONNX graph that names its weights; engines fill them in.

The weights keep the names and the layout that Keras gives them; the graph turns them. Training writes the
graph, where Keras is; any engine that reads ONNX runs it. Pixels come in as (n, 1, size, size), which for one
channel is the same memory as Keras's (n, size, size, 1). Idle blocks are left out.
"""

from typing import TYPE_CHECKING, Any

from model.bundle import GRAPH, WEIGHTS, Bundle
from model.idle_blocks import past_idle_layers
from model.network import FEATURE_COUNT, FEATURES, FRACTURE, STRIDE, WHERE
from model.weights import each_weight

if TYPE_CHECKING:
    import keras
    import onnx

INPUT = "radiographs"
_OPSET, _IR_VERSION = 17, 9


def to_onnx(network: "keras.Model") -> bytes:
    """Write a network of `model.network.build`; its weights decide which of its blocks are idle.

    Raises ValueError for a layer that is not known.
    """
    from onnx import TensorProto, helper

    size = network.input.shape[1]
    graph = _Graph()
    names = {id(network.input): INPUT}
    for layer, given, made in past_idle_layers(network):
        names[made] = graph.add(layer, [names[one] for one in given])
    sides = {FRACTURE: [1], WHERE: [1, size // STRIDE, size // STRIDE], FEATURES: [FEATURE_COUNT]}
    described = helper.make_graph(
        graph.nodes,
        "osteo-synergy",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", 1, size, size])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *sides[name]])
            for name in network.output
        ],
        graph.constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(described, opset_imports=[opset], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString(deterministic=True))


def with_weights(bundle: Bundle) -> bytes:
    """Write the bundle's graph as an ONNX file with its weights, little-endian as ONNX wants them."""
    import onnx

    weights = dict(each_weight(bundle.folder / WEIGHTS))
    graph = onnx.load_from_string((bundle.folder / GRAPH).read_bytes())
    for tensor in graph.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = weights.pop(tensor.name).astype("<f4").tobytes()
    return bytes(graph.SerializeToString())


class _Graph:
    """Nodes and constants, gathered layer by layer; a layer with weights gives its name to its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, layer: "keras.layers.Layer", given: list[str]) -> str:
        """Add what this layer does to the tensors `given`; the name of its output."""
        import keras
        from keras import layers

        # Keras names layers without weights after how many it has made in this process.
        named = layer.weights or layer.name == FEATURES
        name = layer.name if named else f"{type(layer).__name__}_{len(self.nodes)}"
        match layer:
            case layers.Dropout():
                return given[0]
            case layers.ZeroPadding2D():
                (top, bottom), (left, right) = layer.padding
                pads = self._integers(f"{name}/pads", [0, 0, top, left, 0, 0, bottom, right])
                return self._node("Pad", [*given, pads], name)
            case layers.Conv2D():
                kernel = self._weight(layer.kernel)
                kernel = self._node("Transpose", [kernel], f"{name}/turned", perm=[3, 2, 0, 1])
                bias = [self._weight(layer.bias)] if layer.use_bias else []
                border = [side // 2 if layer.padding == "same" else 0 for side in layer.kernel_size] * 2
                return self._activated(
                    layer, "Conv", [*given, kernel, *bias], strides=list(layer.strides), pads=border
                )
            case layers.Dense():
                weights = [self._weight(layer.kernel), self._weight(layer.bias)]
                return self._activated(layer, "Gemm", [*given, *weights])
            case layers.BatchNormalization():
                weights = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
                return self._node(
                    "BatchNormalization", [*given, *map(self._weight, weights)], name, epsilon=layer.epsilon
                )
            case layers.ReLU() | layers.Activation(activation=keras.activations.relu):
                return self._node("Relu", given, name)
            case layers.MaxPooling2D():
                return self._node(
                    "MaxPool", given, name, kernel_shape=list(layer.pool_size), strides=list(layer.strides)
                )
            case layers.UpSampling2D():
                scales = self._floats(f"{name}/scales", [1, 1, *layer.size])
                how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                return self._node("Resize", [*given, "", scales], name, mode="nearest", **how)
            case layers.GlobalAveragePooling2D():
                return self._node("Flatten", [self._node("GlobalAveragePool", given, f"{name}/pool")], name)
            case layers.GlobalMaxPooling2D():
                return self._node("Flatten", [self._node("GlobalMaxPool", given, f"{name}/pool")], name)
            case layers.Add():
                return self._node("Add", given, name)
            case layers.Concatenate():
                return self._node("Concat", given, name, axis=1)
        raise ValueError(f"{name} is a {type(layer).__name__}, which has no counterpart here")

    def _activated(self, layer: "keras.layers.Layer", kind: str, given: list[str], **attributes: Any) -> str:
        activation = {"relu": "Relu", "sigmoid": "Sigmoid"}.get(layer.activation.__name__)
        if activation is None:
            return self._node(kind, given, layer.name, **attributes)
        total = self._node(kind, given, f"{layer.name}/sum", **attributes)
        return self._node(activation, [total], layer.name)

    def _node(self, kind: str, given: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, given, [output], output, **attributes))
        return output

    def _weight(self, variable: "keras.Variable") -> str:
        from onnx import TensorProto

        tensor = TensorProto(name=variable.path, dims=variable.shape, data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="the bundle's weights")
        self.constants.append(tensor)
        return str(variable.path)

    def _integers(self, name: str, values: list[int]) -> str:
        from onnx import TensorProto, helper

        self.constants.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def _floats(self, name: str, values: list[float]) -> str:
        from onnx import TensorProto, helper

        self.constants.append(helper.make_tensor(name, TensorProto.FLOAT, [len(values)], values))
        return name
