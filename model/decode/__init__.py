"""Decodes a submitted file to gray pixels, or raises an error that says what to do."""
