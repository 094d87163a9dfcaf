"""Stores: one object connects a process to both stores, and leaves no connection when it is closed."""

from redis import Redis

from jobs.record.ids import new_id
from jobs.record.states import Priority
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.stores import Stores
from tests.conftest import await_that


def test_closed_stores_leave_no_connection_to_redis(settings: Settings, ledger: Ledger, redis: Redis):
    def connected() -> set[str]:
        return {client["id"] for client in redis.client_list()}

    redis.ping()
    before = connected()
    stores = Stores.connect(settings)
    stores.check()
    stores.ledger.objects.put(f"pending/{new_id('job')}", b"")
    stores.queue.feed("clinic", Priority.STAT)
    assert len(connected() - before) >= 2, "the view's and the queue's"
    stores.close()
    await_that(lambda: connected() <= before)
