"""Reads, varies and draws X-rays into training batches."""
