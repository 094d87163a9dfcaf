"""Augmented reality: a radiograph as a scene, true to scale, in files and a page, and registered markers."""
