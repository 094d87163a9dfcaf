"""Provides an API that reads each policy anew: a test sets one, and the next request follows it."""

from collections.abc import Iterator

import pytest

from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.states import Mode
from tests.api.conftest import Api, serving
from tests.conftest import Servers


@pytest.fixture(scope="session")
def served(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(servers, tmp_path_factory.mktemp("readings"), processes=2, key_seconds=0.0) as (api, _):
        yield api


@pytest.fixture
def policy(api: Api) -> Iterator[None]:
    policies = Policies(api.records)
    policies.put("clinic", ReadingPolicy(("bones",), Mode.BLIND))
    yield
    policies.put("clinic", ReadingPolicy())  # Other tests use the same bucket.
