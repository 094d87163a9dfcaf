"""Reads what the headers of a file declare, before a decoder does: cheap, and bounded for any file."""
