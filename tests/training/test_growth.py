import numpy as np
import pytest

from model.network import FRACTURE, WHERE, build
from training.growth import transfer


def test_a_deeper_network_first_says_what_the_shallower_one_said():
    shallow, deep = build(64, "ResNet50V2"), build(64, "ResNet101V2")
    random = np.random.default_rng(0)
    for weight in shallow.weights:
        if weight.path.endswith("moving_mean"):
            weight.assign(random.normal(0, 0.01, weight.shape))
    transfer(shallow, deep)
    x = random.uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    before, after = shallow.predict(x, verbose=0), deep.predict(x, verbose=0)
    for head in (FRACTURE, WHERE):
        assert np.allclose(before[head], after[head], atol=1e-4)
    with pytest.raises(ValueError, match="shallower"):
        transfer(deep, shallow)
