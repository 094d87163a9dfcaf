"""The server of OpenIGTLink over loopback, against pyigtl and a client that checks every message."""

import json
import socket
from collections.abc import Iterator

import pyigtl
import pytest

from robot.igtl.transport import MOST_CLIENTS, IgtlTransport
from robot.transport import Status
from tests.robot.igtl_listener import Listener, listening
from tests.robot.shown import document, event


@pytest.fixture
def transport() -> Iterator[IgtlTransport]:
    transport = IgtlTransport("0")
    transport.status(Status.ONLINE)
    try:
        yield transport
    finally:
        if transport._thread.is_alive():
            transport.close()


def test_pyigtl_gets_the_transform_and_the_event_as_signed(transport: IgtlTransport):
    made = event()
    transport.publish(made, 60)
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", transport.port)
    try:
        transform = client.wait_for_message("DetectorToSource", timeout=30)
        string = client.wait_for_message("Targets", timeout=30)
    finally:
        client.stop()
    assert transform.matrix[:3, 3] == pytest.approx([0, 0, 1050])
    assert string.string.encode() == made.raw
    assert made.acquired_ns
    assert transform.timestamp == string.timestamp == pytest.approx(made.acquired_ns / 1e9, abs=1e-6)


def test_a_status_follows_what_it_speaks_of(transport: IgtlTransport):
    with listening(transport.port) as listener:
        assert listener.next().code == 13
        transport.publish(event(), 60)
        assert [listener.next().kind for _ in range(3)] == ["TRANSFORM", "STRING", "STATUS"]
        transport.status(Status.ONLINE)
        assert listener.next().code == 1


@pytest.mark.parametrize("withdrawn", ["advisory", "withdrawn"])
def test_an_event_that_is_not_actionable_ends_ok(transport: IgtlTransport, withdrawn: str):
    transport.publish(event(), 60)
    with listening(transport.port) as listener:
        assert listener.next_code() == 1
        transport.publish(event(actionable=False, state=withdrawn), 60)
        assert listener.next_code() == 13


def test_a_degraded_service_is_not_ready_and_its_end_is_told(transport: IgtlTransport):
    transport.publish(event(), 60)
    with listening(transport.port) as listener:
        assert listener.next_code() == 1
        transport.status(Status.DEGRADED)
        assert listener.next_code() == 13
        transport.status(Status.ONLINE)
        assert listener.next_code() == 1
        transport.close()
        assert listener.next_code() == 15
        with pytest.raises(EOFError):
            listener.next()


def test_a_target_whose_validity_is_over_is_a_time_out(transport: IgtlTransport):
    transport.publish(event(), 0.05)
    with listening(transport.port) as listener:
        while (code := listener.next_code()) == 1:
            transport.status(Status.ONLINE)
        assert code == 7


def test_a_late_client_gets_no_target_that_is_over(transport: IgtlTransport):
    transport.publish(event(), 0)
    with listening(transport.port) as listener:
        assert listener.next().code == 7


def test_a_late_client_gets_the_last_event_alone(transport: IgtlTransport):
    transport.publish(event(), 60)
    transport.publish(event(actionable=False, sequence=2), 60)
    with listening(transport.port) as listener:
        kinds = [listener.next() for _ in range(3)]
    assert json.loads(kinds[1].body[4:])["data"]["sequence"] == 2
    assert kinds[2].code == 13


def test_an_event_without_a_camera_has_no_transform(transport: IgtlTransport):
    transport.publish(event(camera=None, acquired_at=None), 60)
    with listening(transport.port) as listener:
        string = listener.next()
    assert (string.kind, string.stamp_s) == ("STRING", 0)


def test_a_client_that_does_not_read_stops_no_other(transport: IgtlTransport):
    long, count = document() | {"padding": "x" * 40_000}, 40
    with listening(transport.port) as reader, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(30)
        deaf.connect(("127.0.0.1", transport.port))
        assert reader.next_code() == 13
        for sequence in range(1, count):
            transport.publish(event(**long | {"sequence": sequence}), 60)
            assert reader.next_code() == 1
        received = 0
        while data := deaf.recv(2**20):  # until the server's end of the connection
            received += len(data)
    assert received < count * 40_000 / 2


def test_what_a_client_sends_is_dropped(transport: IgtlTransport):
    with listening(transport.port) as listener:
        listener.connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1000)
        assert listener.next_code() == 13
        transport.publish(event(), 60)
        assert listener.next_code() == 1


def test_clients_beyond_the_most_are_refused(transport: IgtlTransport):
    listeners = [Listener(transport.port) for _ in range(MOST_CLIENTS)]
    try:
        assert [listener.next_code() for listener in listeners] == [13] * MOST_CLIENTS
        with listening(transport.port) as refused, pytest.raises((EOFError, ConnectionResetError)):
            refused.next()
        transport.status(Status.ONLINE)
        assert listeners[0].next_code() == 13
    finally:
        for listener in listeners:
            listener.close()


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536"])
def test_an_address_of_another_form_is_refused(address: str):
    with pytest.raises(ValueError, match="HOST:PORT"):
        IgtlTransport(address)
