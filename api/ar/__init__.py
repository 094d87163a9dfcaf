"""The scene of a radiograph for augmented reality, true to scale: GLB, USDZ and OBJ, and a marker."""
