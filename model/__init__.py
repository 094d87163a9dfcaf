"""Decodes X-rays, runs the network of a bundle on them, and says what it finds."""
