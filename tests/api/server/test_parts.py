"""Tests the parts of the server alone: chunks, queues, byte budget, least rate and slots."""

import pytest
from gunicorn.http.errors import InvalidChunkSize

from api.http.slots import Slots
from api.server.byte_budget import ByteBudget
from api.server.chunked_coding import Chunks
from api.server.least_rate import WINDOW, LeastRate
from api.server.request_queues import RequestQueues

CODED = b'5\r\nhello\r\n6;a="b"\r\n world\r\n0\r\nX-Trailer: t\r\n\r\nGET'


def test_chunks_are_decoded_wherever_they_are_cut():
    for cut in range(len(CODED)):
        chunks = Chunks()
        pieces = [*chunks.decode(CODED[:cut]), *chunks.decode(CODED[cut:])]
        assert (b"".join(pieces), chunks.whole, chunks.rest()) == (b"hello world", True, b"GET")


@pytest.mark.parametrize(
    "coded",
    [
        *(
            b"x\r\n",
            b"\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1;\x00\r\n",
            b"1_0\r\n",
        ),
        *(b"1\r\nab\r\n", b"1\n\r\n", b"f" * 16 + b"\r\n", b"1" * 9000, b"0\r\na\nb\r\n\r\n"),
        b"1\r\na\r\n" * 20_000,
    ],
)
def test_a_malformed_chunk_is_refused(coded: bytes):
    with pytest.raises(InvalidChunkSize):
        list(Chunks().decode(coded))


def test_clients_take_turns_and_none_has_more_than_its_share():
    queues: RequestQueues[str] = RequestQueues(most=3, each=2)
    for number in range(5):
        queues.add("a", f"a{number}")
    queues.add("b", "b0")
    assert [queues.next() for _ in range(4)] == ["a0", "b0", "a1", None]
    queues.free("b")
    assert queues.next() is None, "a has its two"
    queues.remove("a", "a2")
    queues.free("a")
    assert [queues.next(), queues.next()] == ["a3", None]


def test_one_client_stores_no_more_than_its_share():
    budget = ByteBudget(most=10, each=6)
    assert budget.take("a", 6)
    assert not budget.take("a", 1)
    assert budget.take("b", 4)
    assert not budget.take("c", 1)
    budget.give("a", 6)
    assert budget.take("c", 6)


def test_one_client_has_no_more_than_its_share_of_slots():
    slots = Slots(most=3, each=2)
    assert [slots.take(client) for client in "aaabb"] == [True, True, False, True, False]
    slots.give("a")
    assert slots.take("b")


def test_a_rate_is_measured_over_each_window_and_in_all():
    rate = LeastRate(rate=10, seconds=100, began=0.0)
    assert not rate.too_slow(WINDOW - 1, 0)
    assert not rate.too_slow(WINDOW, 100)
    assert not rate.too_slow(2 * WINDOW - 1, 100)
    assert rate.too_slow(2 * WINDOW, 150), "it came to a halt behind a fast beginning"
    assert rate.too_slow(101.0, 1_000_000)
