"""From a request to an accepted job: limits, fields, decoding, idempotency, then storing and enqueueing."""
