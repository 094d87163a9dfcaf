"""Fits the check that a picture is a radiograph, and measures it."""
