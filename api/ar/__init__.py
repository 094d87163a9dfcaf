"""Augmented reality: the scene of a radiograph, true to scale, a marker to print, and where it stands."""
