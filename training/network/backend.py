"""Sets up the backend of Keras (KERAS_BACKEND: tensorflow, or jax) for the steps that train."""

import os


def prepare_backend(threads: int) -> None:
    """Set the threads of the backend, as far as the machine has them, before its first operation."""
    # Off by default on CPUs without AVX-512, yet it halves the time of the backward pass there (measured).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(min(threads, os.cpu_count() or 1))
        tf.config.threading.set_inter_op_parallelism_threads(1)


def jit_compile() -> bool:
    """Whether to compile a step whole: JAX always does; TensorFlow on a CPU is four times slower so."""
    import keras

    return keras.backend.backend() == "jax"
