"""Gives the tests of the operator's commands the real API of tests/api."""

from tests.api.conftest import api, emptied, served

__all__ = ["api", "emptied", "served"]
