"""Measures the service and the engines; benchmarks/README.md says how to measure again."""
