"""Decodes submitted files in separate processes, so that a hostile file harms one of them alone."""
