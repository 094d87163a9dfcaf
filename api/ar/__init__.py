"""Augmented reality: the scene of a radiograph, true to scale, as files and a page, and a marker."""
