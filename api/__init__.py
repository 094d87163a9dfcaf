"""The HTTP API: it checks, stores and enqueues radiographs, and serves their jobs, without TensorFlow."""
