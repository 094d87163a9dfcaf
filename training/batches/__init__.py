"""Training batches: X-rays are read, varied and drawn into batches."""
