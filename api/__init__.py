"""HTTP in, HTTP out: checks, stores and enqueues a radiograph, answers for its job. Knows no TensorFlow."""
