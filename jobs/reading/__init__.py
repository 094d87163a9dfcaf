"""Readings: what people find in a radiograph, from the request to the signed report."""
