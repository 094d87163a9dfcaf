"""The version of this service, and of the layout of what it stores."""

VERSION = "0.3.0"
"""As in pyproject.toml, in the images' tags and in the changelog; `tests/test_version.py` holds this."""

LAYOUT = 2
"""Counts up where data of the version before cannot be read as they lie. 0.1.0 had layout 1, and no mark."""
