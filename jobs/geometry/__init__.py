"""Geometry of a radiograph: frames, rays, depths, two views, and how wrong each may be."""
