"""Names the version of this service, and the version of the layout of what it stores."""

VERSION = "0.3.0"
"""As in pyproject.toml, in the images' tags and in the changelog; `tests/test_version.py` checks this."""

LAYOUT = 2
"""One higher where the stored data of the version before cannot be read. 0.1.0 had layout 1, and no mark."""
