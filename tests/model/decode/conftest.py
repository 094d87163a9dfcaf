from collections.abc import Iterator

import pytest

from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """Processes that have a second of processor time: CharLS may loop for hours on damaged data."""
    decoders = Decoders(Bounds(cpu_seconds=1))
    yield decoders
    decoders.close()
