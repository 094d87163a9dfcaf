"""Compares what can differ on a big-endian machine: made on this one, and on an emulated s390x."""
