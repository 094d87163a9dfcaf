import numpy as np

from model.network import FRACTURE, WHERE, build
from training.network.growth import transfer


def test_a_deeper_or_shallower_copy_of_a_network_answers_the_same():
    shallow, deep, again = (build(64, f"ResNet{depth}V2") for depth in (50, 101, 50))
    random = np.random.default_rng(0)
    for weight in shallow.weights:
        if weight.path.endswith("moving_mean"):
            weight.assign(random.normal(0, 0.01, weight.shape))
    x = random.uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    before = shallow(x, training=False)  # Not `predict`: tracing takes longer than the layers one by one.
    transfer(shallow, deep)
    transfer(deep, again)
    for network in (deep, again):
        after = network(x, training=False)
        for head in (FRACTURE, WHERE):
            assert np.allclose(before[head], after[head], atol=1e-4)
