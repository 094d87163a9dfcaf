"""Targets: where in space a radiograph shows fractures, and whether a robot may use them."""
