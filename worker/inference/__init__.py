"""The inference role: it analyses radiographs."""
