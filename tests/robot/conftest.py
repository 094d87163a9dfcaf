"""A broker, the service's clock and a running `python -m robot`, new for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robot.peers import Broker, Consumer, Robot, Service, robot_process


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    with Consumer(broker) as made:
        yield made


@pytest.fixture
def robot(tmp_path: Path, service: Service, broker: Broker, consumer: Consumer) -> Iterator[Robot]:
    """The process, `online`."""
    with robot_process(tmp_path, service.url, "--mqtt", broker.url) as made:
        consumer.await_status("online")
        yield made
