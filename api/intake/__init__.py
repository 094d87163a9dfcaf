"""The steps from a request to an accepted job: limits, fields, decoding, idempotency, storing, enqueueing."""
