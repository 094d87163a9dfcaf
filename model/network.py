"""Builds the network between pixels and scores: a ResNetV2, residual blocks at two scales, two heads.

Pure Keras 3, so that it runs on any of its backends. Keras is imported on the first call, which keeps
modules that only name an architecture light.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

FRACTURE, WHERE, FEATURES = "fracture", "where", "features"
STRIDE = 16
"""Pixels of the input on a side of one cell of the `where` map."""

_LAST_BLOCK_AT_STRIDE_8 = {"ResNet50V2": 4, "ResNet101V2": 4, "ResNet152V2": 8}
_LAST_BLOCK_AT_STRIDE_16 = {"ResNet50V2": 6, "ResNet101V2": 23, "ResNet152V2": 36}
BACKBONES = tuple(_LAST_BLOCK_AT_STRIDE_16)
FEATURE_COUNT = 2 * (512 + 1024)
"""Mean and maximum of the backbone's channels at strides 8 and 16."""


def build(
    input_size: int,
    backbone: str = "ResNet152V2",
    width: int = 256,
    dropout: float = 0.3,
    batch_norm_momentum: float = 0.9,
    blocks: bool = True,
    locate: bool = True,
    describe: bool = True,
) -> "keras.Model":
    """Build the untrained network.

    Input: float32 (n, input_size, input_size, 1) in [-1, 1]; ValueError unless 32 divides `input_size`.
    Outputs, a dict: `fracture` (n, 1), the uncalibrated probability; `where` (n, input_size / 16,
    input_size / 16, 1), the probability that a cell holds part of a fracture; `features` (n, FEATURE_COUNT),
    by which `model.radiograph_check` tells X-rays from other pictures. No weight belongs to the features
    alone, so training builds the network without them (`describe`).

    `batch_norm_momentum` is far below Keras's 0.99 because our runs have hundreds of steps, not hundreds of
    thousands: at 0.99 the moving averages would still remember the random start. Without `blocks` the heads
    stand on 1x1 convolutions, without `locate` there is no `where`: what `training.select` compares with.
    """
    import keras

    if input_size % 32:
        raise ValueError(f"input_size must be a multiple of 32, not {input_size}")
    trunk = build_trunk(input_size, backbone, batch_norm_momentum)
    # ResNetV2 halves its map in the last block of a stage, so that block's pre-activation is the deepest
    # feature at stride 16.
    deep = trunk.output
    fine = trunk.get_layer(f"conv4_block{_LAST_BLOCK_AT_STRIDE_16[backbone]}_preact_relu").output

    outputs = {FEATURES: _describe(trunk, backbone)} if describe else {}
    outputs |= add_heads(fine, deep, width, dropout, batch_norm_momentum, blocks, locate)
    return keras.Model(trunk.input, outputs, name=backbone.lower())


def add_heads(
    fine: Any,
    deep: Any,
    width: int,
    dropout: float,
    momentum: float,
    blocks: bool = True,
    locate: bool = True,
) -> dict[str, Any]:
    """Add residual blocks and both heads to maps of a backbone at strides 16 (`fine`) and 32 (`deep`).

    Returns the outputs `fracture` and `where` of `build`, whose other arguments these are.
    """
    from keras import layers

    refine = _residual_block if blocks else _projection
    outputs = {}
    fine = refine(fine, width, "fine", momentum)
    deep = refine(deep, width, "deep", momentum)

    whole = layers.Concatenate(name="whole_join")([deep, layers.MaxPooling2D(2, name="fine_down")(fine)])
    whole = refine(whole, width, "whole", momentum)
    # A fracture fills a few cells: the maximum over the map says that one stands out, the mean what part of
    # the body this is.
    pooled = [
        layers.GlobalAveragePooling2D(name="whole_mean")(whole),
        layers.GlobalMaxPooling2D(name="whole_max")(whole),
    ]
    if locate:
        local = layers.Concatenate(name="local_join")([fine, layers.UpSampling2D(2, name="deep_up")(deep)])
        local = refine(local, width // 2, "local", momentum)
        pooled.append(layers.GlobalMaxPooling2D(name="local_max")(local))
        outputs[WHERE] = layers.Conv2D(
            1, 1, activation="sigmoid", bias_initializer=_rare(0.02), dtype="float32", name=WHERE
        )(local)
    dense = layers.Dropout(dropout, name="drop")(layers.Concatenate(name="pooled")(pooled))
    dense = layers.Dense(width // 2, activation="relu", name="dense")(dense)
    outputs[FRACTURE] = layers.Dense(1, activation="sigmoid", dtype="float32", name=FRACTURE)(dense)
    return outputs


def _describe(trunk: "keras.Model", backbone: str) -> Any:
    """Pool what the backbone sees at strides 8 and 16 to float32 (n, FEATURE_COUNT)."""
    from keras import layers

    pooled = []
    for stage, last in (("conv3", _LAST_BLOCK_AT_STRIDE_8), ("conv4", _LAST_BLOCK_AT_STRIDE_16)):
        features = trunk.get_layer(f"{stage}_block{last[backbone]}_preact_relu").output
        pooled += [
            layers.GlobalAveragePooling2D(dtype="float32", name=f"{stage}_mean")(features),
            layers.GlobalMaxPooling2D(dtype="float32", name=f"{stage}_max")(features),
        ]
    return layers.Concatenate(dtype="float32", name=FEATURES)(pooled)


def build_trunk(input_size: int, backbone: str, batch_norm_momentum: float = 0.9) -> "keras.Model":
    """Build the untrained backbone, topless: float32 (n, size, size, 1) to (n, size/32, size/32, 2048)."""
    import keras

    trunk = getattr(keras.applications, backbone)(
        include_top=False, weights=None, input_shape=(input_size, input_size, 1)
    )
    for layer in trunk.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = batch_norm_momentum
    return trunk


def _residual_block(x: Any, filters: int, name: str, momentum: float) -> Any:
    """Add two 3x3 convolutions with batch normalisation beside a 1x1 projection of the input."""
    from keras import layers

    shortcut = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_shortcut")(x)
    shortcut = layers.BatchNormalization(momentum=momentum, name=f"{name}_shortcut_norm")(shortcut)
    y = layers.Conv2D(filters // 2, 3, padding="same", use_bias=False, name=f"{name}_conv1")(x)
    y = layers.BatchNormalization(momentum=momentum, name=f"{name}_norm1")(y)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
    y = layers.BatchNormalization(momentum=momentum, name=f"{name}_norm2")(y)
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([shortcut, y]))


def _projection(x: Any, filters: int, name: str, momentum: float) -> Any:
    """Add a 1x1 convolution with batch normalisation: as wide as a residual block, and nothing more."""
    from keras import layers

    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_shortcut")(x)
    y = layers.BatchNormalization(momentum=momentum, name=f"{name}_shortcut_norm")(y)
    return layers.ReLU(name=f"{name}_relu2")(y)


def _rare(share: float) -> "keras.initializers.Initializer":
    """Set the bias under which a sigmoid starts at `share`: fractured cells are few."""
    import math

    import keras

    return keras.initializers.Constant(math.log(share / (1 - share)))
