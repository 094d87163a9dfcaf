"""Runs a step of training operation by operation: `python -m tests.training.untraced training.train ...`.

Tracing a ResNet's step takes TensorFlow half a minute, running it a second; a test runs a handful.
"""

import runpy
import sys

from training.network.backend import prepare_backend


def main() -> None:
    prepare_backend(2)
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
