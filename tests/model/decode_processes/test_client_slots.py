"""Places are given to clients in turn, whoever comes with a crowd."""

from contextlib import ExitStack
from threading import Event, Thread

import pytest

from model.decode_processes.client_slots import Turns

LONG = 30.0


class Crowd:
    """Threads that each take a turn, note it, and hold it until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.threads: list[Thread] = []

    def comes(self, client: str) -> None:
        """One more of this client's waits for its turn."""
        waiting = self.turns.waiting(client)
        thread = Thread(target=self._take, args=[client])
        self.threads.append(thread)
        thread.start()
        while self.turns.waiting(client) == waiting:
            Event().wait(0.001)

    def _take(self, client: str) -> None:
        with self.turns.turn(client, LONG):
            self.order.append(client)


def test_a_client_that_comes_later_waits_for_one_of_a_crowd_and_not_for_all():
    turns = Turns(1)
    crowd = Crowd(turns)
    with turns.turn("other", LONG):
        for client in ("crowd", "crowd", "crowd", "crowd", "single"):
            crowd.comes(client)
    for thread in crowd.threads:
        thread.join(LONG)
    assert crowd.order == ["crowd", "single", "crowd", "crowd", "crowd"]


def test_one_client_never_holds_the_last_place():
    turns = Turns(3)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(turns.turn("crowd", 0))
        with pytest.raises(TimeoutError), turns.turn("crowd", 0.01):
            pytest.fail("the last place was given to the same client")
        with turns.turn("single", 0):
            pass


def test_who_leaves_the_queue_is_given_nothing():
    turns = Turns(1)
    with turns.turn("first", 0):
        for _ in range(3):
            with pytest.raises(TimeoutError), turns.turn("second", 0.001):
                pytest.fail("a place that is held was given twice")
        assert turns.waiting("second") == 0
    with turns.turn("second", 0):
        pass


def test_a_turn_that_ends_in_an_error_gives_its_place_back():
    turns = Turns(1)
    with pytest.raises(ValueError, match="broken"), turns.turn("first", 0):
        raise ValueError("broken")
    with turns.turn("second", 0):
        pass
