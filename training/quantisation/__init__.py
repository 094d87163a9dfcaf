"""Draws the ranges of a bundle's activations, and measures what int8 arithmetic changes in its answers."""
