"""Where a stack listens, and what it says when it cannot."""

import socket
from collections.abc import Iterator

import pytest

from stack.addresses import HOST, Addresses, free_ports
from stack.errors import StartRefused


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a program listens on."""
    (port,) = free_ports(1)
    with socket.create_server((HOST, port)):
        yield port


@pytest.mark.parametrize("setting", ["PORT", "FLOWER_PORT"])
def test_a_port_in_use_is_named_together_with_its_setting(taken: int, setting: str) -> None:
    first, second = free_ports(2)
    environment = {"PORT": str(first), "FLOWER_PORT": str(second), setting: str(taken)}
    with pytest.raises(StartRefused, match=rf"port {taken} .* in use .* set {setting} "):
        Addresses.from_environment(environment)


def test_a_port_taken_on_all_addresses_is_taken_here_too() -> None:
    (port,) = free_ports(1)
    with socket.create_server(("0.0.0.0", port)), pytest.raises(StartRefused, match=f"port {port}"):
        Addresses.from_environment({"PORT": str(port)})


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80 80", "\u0664\u0662"])
def test_what_is_no_port_is_refused_with_its_setting(text: str) -> None:
    with pytest.raises(StartRefused, match="FLOWER_PORT"):
        Addresses.from_environment({"PORT": str(free_ports(1)[0]), "FLOWER_PORT": text})


def test_the_api_and_flower_cannot_share_a_port() -> None:
    (port,) = free_ports(1)
    with pytest.raises(StartRefused, match=f"both {port}"):
        Addresses.from_environment({"PORT": str(port), "FLOWER_PORT": str(port)})


def test_servers_from_outside_take_the_place_of_the_own_ones() -> None:
    first, second = free_ports(2)
    addresses = Addresses.from_environment(
        {
            "PORT": str(first),
            "FLOWER_PORT": str(second),
            "REDIS_URL": "redis://r/1",
            "S3_ENDPOINT_URL": "http://s",
        }
    )
    assert addresses.redis("unused") == "redis://r/1"
    assert addresses.s3 == "http://s"


def test_no_two_parts_are_given_the_same_port() -> None:
    assert len(set(free_ports(50))) == 50


def test_the_workers_metrics_have_ports_one_after_the_other_of_their_own() -> None:
    first, second = free_ports(2)
    addresses = Addresses.from_environment({"PORT": str(first), "FLOWER_PORT": str(second)})
    row = {*range(addresses.metrics_port, addresses.metrics_port + 4)}
    assert not row & {first, second, addresses.redis_port, addresses.s3_port}
