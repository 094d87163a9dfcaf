"""Slots are lent to clients in turn, also where one client has a crowd of files."""

from contextlib import ExitStack
from threading import Event, Thread

import pytest

from model.decode_processes.client_slots import ClientSlots

LONG = 30.0


class Crowd:
    """Threads that each take a slot, record it, and hold it until they are released."""

    def __init__(self, slots: ClientSlots) -> None:
        self.slots = slots
        self.order: list[str] = []
        self.threads: list[Thread] = []

    def comes(self, client: str) -> None:
        """One more of this client's waits for a slot."""
        waiting = self.slots.waiting(client)
        thread = Thread(target=self._take, args=[client])
        self.threads.append(thread)
        thread.start()
        while self.slots.waiting(client) == waiting:
            Event().wait(0.001)

    def _take(self, client: str) -> None:
        with self.slots.hold(client, LONG):
            self.order.append(client)


def test_a_later_client_waits_for_one_file_of_a_crowd_not_for_all():
    slots = ClientSlots(1)
    crowd = Crowd(slots)
    with slots.hold("other", LONG):
        for client in ("crowd", "crowd", "crowd", "crowd", "single"):
            crowd.comes(client)
    for thread in crowd.threads:
        thread.join(LONG)
    assert crowd.order == ["crowd", "single", "crowd", "crowd", "crowd"]


def test_one_client_never_holds_the_last_place():
    slots = ClientSlots(3)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(slots.hold("crowd", 0))
        with pytest.raises(TimeoutError), slots.hold("crowd", 0.01):
            pytest.fail("the last place was given to the same client")
        with slots.hold("single", 0):
            pass


def test_who_leaves_the_queue_is_given_nothing():
    slots = ClientSlots(1)
    with slots.hold("first", 0):
        for _ in range(3):
            with pytest.raises(TimeoutError), slots.hold("second", 0.001):
                pytest.fail("a place that is held was given twice")
        assert slots.waiting("second") == 0
    with slots.hold("second", 0):
        pass


def test_a_block_that_ends_in_an_error_frees_its_slot():
    slots = ClientSlots(1)
    with pytest.raises(ValueError, match="broken"), slots.hold("first", 0):
        raise ValueError("broken")
    with slots.hold("second", 0):
        pass
