"""Geometry of a radiograph and of a marker: frames, rays, depths, poses, and how wrong each may be."""
