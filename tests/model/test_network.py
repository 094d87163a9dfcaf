import re

import numpy as np
import pytest

from model.network import FEATURE_COUNT, FEATURES, FRACTURE, STRIDE, WHERE, build


def test_the_network_has_blocks_at_two_scales_of_resnet152v2_and_two_heads():
    import keras

    network = build(128)
    names = {layer.name for layer in network.layers}
    trunk = keras.applications.ResNet152V2(include_top=False, weights=None, input_shape=(128, 128, 1))
    # Keras numbers layers without weights anew in each model.
    assert {layer.name for layer in trunk.layers if layer.weights} <= names
    assert {"fine_add", "deep_add", "local_add", "whole_add", "dense", FRACTURE, WHERE} <= names
    shapes = {head: output.shape for head, output in network.output.items()}
    assert shapes == {
        FRACTURE: (None, 1),
        WHERE: (None, 128 // STRIDE, 128 // STRIDE, 1),
        FEATURES: (None, FEATURE_COUNT),
    }
    assert network.get_layer("fine_add").output.shape[1:3] == (8, 8)
    assert network.get_layer("deep_add").output.shape[1:3] == (4, 4)


def test_both_outputs_are_probabilities_of_the_right_shape():
    network = build(64, "ResNet50V2")
    outputs = network(np.random.default_rng(0).uniform(-1, 1, (3, 64, 64, 1)), training=False)
    outputs = {name: np.asarray(output) for name, output in outputs.items()}
    assert (outputs[FRACTURE].shape, outputs[WHERE].shape) == ((3, 1), (3, 4, 4, 1))
    for head in (FRACTURE, WHERE):
        assert ((outputs[head] > 0) & (outputs[head] < 1)).all()


def test_features_have_no_weights_and_are_left_out_of_training():
    whole, bare = build(64, "ResNet50V2"), build(64, "ResNet50V2", describe=False)
    assert set(whole.output) - set(bare.output) == {FEATURES}
    assert [one.path for one in whole.weights] == [one.path for one in bare.weights]


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        build(100)


def test_what_is_compared_lacks_blocks_or_localisation_and_nothing_else():
    whole, bare = build(64, "ResNet50V2"), build(64, "ResNet50V2", blocks=False, locate=False, describe=False)
    assert set(bare.output) == {FRACTURE}
    assert not any(layer.name.endswith("_add") for layer in bare.layers if "block" not in layer.name)
    described = re.compile(r"conv\d_(mean|max)")
    trunk = {layer.name for layer in whole.layers if layer.name.startswith("conv")}
    bare_trunk = {layer.name for layer in bare.layers if layer.name.startswith("conv")}
    assert bare_trunk == {name for name in trunk if not described.fullmatch(name)}
    assert bare.count_params() < whole.count_params()
