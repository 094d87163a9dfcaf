"""The operator's commands beside a real API, which the tests of the API have as well."""

from tests.api.conftest import api, served

__all__ = ["api", "served"]
