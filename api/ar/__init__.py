"""The scene of a radiograph for augmented reality, true to scale: files, a page, and a marker."""
