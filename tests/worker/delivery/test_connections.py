"""Calls of a receiver go over connections that are kept, to addresses that were checked, and few at once."""

import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Event, Thread

import pytest

from jobs.callbacks.url import CallbackTarget, parse
from tests.conftest import await_that
from tests.worker.conftest import speak_tls
from worker.delivery import connections as module
from worker.delivery.call import CallResult, Message, call
from worker.delivery.connections import CALLS_AT_ONCE, Connections

HOSTS = frozenset({"127.0.0.1", "localhost", "clinic.example"})
SECONDS = 30.0


class KeepingReceiver:
    """A receiver whose connections stay open; it counts them, and the calls that it has at once."""

    def __init__(self) -> None:
        self.connections = self.calls = self.at_once = self.most_at_once = 0
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.closes = False
        """Whether it closes each connection after its answer, and has not said so."""
        self.may_answer = Event()
        self.may_answer.set()
        self.changed = Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                outer.connections += 1
                super().handle()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                with outer.changed:
                    outer.calls += 1
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                    outer.changed.notify_all()
                outer.may_answer.wait(SECONDS)
                with outer.changed:
                    outer.at_once -= 1
                self.wfile.write(outer.answer)
                self.close_connection = outer.closes or b"close" in outer.answer

            def log_message(self, *_: object) -> None:
                pass

        # At every address of this machine, so that a name can move.
        self.server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def await_calls(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.calls >= count, SECONDS), f"{self.calls} of {count}"


@pytest.fixture
def receiver() -> Iterator[KeepingReceiver]:
    made = KeepingReceiver()
    yield made
    made.may_answer.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def connections() -> Connections:
    return Connections()


def message() -> Message:
    return b"{}", {}


def send(url: str, connections: Connections, client: str = "clinic", seconds: float = SECONDS) -> CallResult:
    target: CallbackTarget = parse(url, HOSTS)
    return call(target, message, HOSTS, seconds, client, connections)


def closed(connections: Connections) -> bool:
    """Whether the end of every kept connection has arrived."""
    return all(not connection.usable for _, connection in connections._idle)


def test_callbacks_to_one_receiver_share_a_connection(receiver, connections):
    assert [send(receiver.url, connections).status for _ in range(5)] == [200] * 5
    assert (receiver.calls, receiver.connections) == (5, 1)


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="THERE IS NO openssl: NO CALLBACK OVER TLS WAS TRIED"
)
def test_callbacks_over_tls_share_a_connection(receiver, connections, tmp_path: Path, monkeypatch):
    speak_tls(receiver.server, "localhost", tmp_path, monkeypatch)
    url = f"https://localhost:{receiver.server.server_port}/hook"
    assert [send(url, connections).status for _ in range(5)] == [200] * 5
    assert (receiver.calls, receiver.connections) == (5, 1)


def test_an_answer_in_chunks_leaves_the_connection_open(receiver, connections):
    receiver.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert [send(receiver.url, connections).body for _ in range(2)] == ["ok", "ok"]
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 103 Hints\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["long", "closed", "closed by a hint"],
)
def test_a_connection_with_more_to_read_or_that_ends_is_not_kept(receiver, connections, answer):
    receiver.answer = answer
    assert [send(receiver.url, connections).status for _ in range(2)] == [200, 200]
    assert (receiver.calls, receiver.connections) == (2, 2)
    assert not connections._idle


def test_a_receiver_that_has_closed_its_connection_is_called_over_another(receiver, connections):
    receiver.closes = True
    send(receiver.url, connections)
    await_that(lambda: closed(connections))
    assert send(receiver.url, connections).status == 200
    assert (receiver.calls, receiver.connections) == (2, 2)


def test_a_connection_that_ends_during_the_call_is_replaced(receiver, connections, monkeypatch):
    receiver.closes = True
    send(receiver.url, connections)
    await_that(lambda: closed(connections))
    # As if its end arrived after the look at it.
    monkeypatch.setattr(module.Connection, "usable", True)
    assert send(receiver.url, connections).status == 200
    assert receiver.calls == 2


def test_an_answer_that_no_call_asked_for_is_taken_for_none(receiver, connections):
    receiver.answer *= 2
    send(receiver.url, connections)
    receiver.answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    assert send(receiver.url, connections).status == 500


def test_a_connection_is_not_kept_for_longer_than_a_while(receiver, connections, monkeypatch):
    send(receiver.url, connections)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    send(receiver.url, connections)
    assert receiver.connections == 2


def test_clients_of_one_receiver_share_no_connection(receiver, connections):
    for client in ("clinic", "other", "clinic"):
        send(receiver.url, connections, client)
    assert receiver.connections == 2


@pytest.mark.parametrize(("moved", "connected"), [("127.0.0.1", 1), ("127.0.0.2", 2)])
def test_a_connection_serves_a_name_while_it_leads_to_its_address(
    receiver, connections, monkeypatch, moved, connected
):
    lookup, addresses = socket.getaddrinfo, ["127.0.0.1"]

    def named(host, port, *rest, **more):
        if host != "clinic.example" or more.get("flags") == socket.AI_NUMERICHOST:
            return lookup(host, port, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", named)
    url = receiver.url.replace("127.0.0.1", "clinic.example")
    send(url, connections)
    addresses[:] = [moved]
    send(url, connections)
    assert (receiver.calls, receiver.connections) == (2, connected)


def test_a_kept_connection_is_no_way_to_a_name_with_a_private_address(receiver, connections, monkeypatch):
    target = parse(receiver.url.replace("127.0.0.1", "clinic.example"), HOSTS)
    lookup = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: lookup("127.0.0.1", *rest, **more))
    assert call(target, message, HOSTS, SECONDS, "clinic", connections).accepted
    after = call(target, message, frozenset(), SECONDS, "clinic", connections)
    assert after.error == "callback_url must lead to a public address"
    assert receiver.calls == 1


def test_few_calls_at_once_reach_a_receiver_and_other_clients_do_not_wait(receiver, connections):
    receiver.may_answer.clear()
    with ThreadPoolExecutor(CALLS_AT_ONCE * 3 + 1) as threads:
        calls = [threads.submit(send, receiver.url, connections) for _ in range(CALLS_AT_ONCE * 3)]
        receiver.await_calls(CALLS_AT_ONCE)
        calls.append(threads.submit(send, receiver.url, connections, "other"))
        receiver.await_calls(CALLS_AT_ONCE + 1)
        assert receiver.most_at_once == CALLS_AT_ONCE + 1
        receiver.may_answer.set()
        assert [one.result().status for one in calls] == [200] * len(calls)
    assert receiver.most_at_once <= CALLS_AT_ONCE + 1
    assert not connections._calls
    assert not connections._waiting


def test_a_message_is_made_once_no_other_call_is_waited_for(receiver, connections):
    made = Event()

    def late() -> Message:
        made.set()
        return message()

    target = parse(receiver.url, HOSTS)
    receiver.may_answer.clear()
    with ThreadPoolExecutor(CALLS_AT_ONCE + 1) as threads:
        calls = [threads.submit(send, receiver.url, connections) for _ in range(CALLS_AT_ONCE)]
        receiver.await_calls(CALLS_AT_ONCE)
        waits = threads.submit(call, target, late, HOSTS, SECONDS, "clinic", connections)
        await_that(lambda: bool(connections._waiting["clinic", target.origin]))
        assert not made.is_set()
        receiver.may_answer.set()
        assert [one.result().status for one in (*calls, waits)] == [200] * (CALLS_AT_ONCE + 1)
    assert made.is_set()


def test_a_wait_for_other_calls_takes_no_time_of_the_call(receiver, connections, monkeypatch):
    ahead = [0.0]
    monkeypatch.setattr("worker.delivery.call.monotonic", lambda: time.monotonic() + ahead[0])
    receiver.may_answer.clear()
    with ThreadPoolExecutor(CALLS_AT_ONCE + 1) as threads:
        calls = [threads.submit(send, receiver.url, connections) for _ in range(CALLS_AT_ONCE)]
        receiver.await_calls(CALLS_AT_ONCE)
        waits = threads.submit(send, receiver.url, connections)
        await_that(lambda: bool(connections._waiting["clinic", parse(receiver.url, HOSTS).origin]))
        ahead[0] = SECONDS + 1  # More than a call has.
        receiver.may_answer.set()
        assert [one.result().status for one in (*calls, waits)] == [200] * (CALLS_AT_ONCE + 1)
