"""Gives the tests of the operator's commands the real API of tests/api."""

from tests.api.conftest import api, served

__all__ = ["api", "served"]
