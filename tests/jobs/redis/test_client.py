import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest
from redis import Redis

from jobs.record.errors import QueueBusy, QueueUnavailable
from jobs.redis.client import CONNECTIONS, PAUSE, connect, translated
from jobs.redis.view import View
from jobs.settings import Settings


@pytest.fixture
def frozen():
    """A stopped Redis: it accepts connections and never answers. Yields its URL and the connections."""
    came: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    came.append(server.accept()[0])
                except OSError:
                    return

        Thread(target=take, daemon=True).start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", came
    for connection in came:
        connection.close()


def test_a_redis_that_is_silent_is_waited_for_once(frozen):
    url, came = frozen
    view = View.connect(url, 60)
    for _ in range(20):
        with pytest.raises(QueueUnavailable):
            view.check()
        with pytest.raises(QueueUnavailable):
            view.client_queues.waiting_beside("clinic")
    assert len(came) == 1


def test_a_silent_redis_is_asked_again_after_a_pause(settings, monkeypatch):
    redis = connect(settings.redis_url)
    moment = [1000.0]
    monkeypatch.setattr("jobs.redis.client.time.monotonic", lambda: moment[0])
    with pytest.raises(QueueUnavailable), translated(redis):
        Redis(port=1).ping()
    with pytest.raises(QueueUnavailable), translated(redis):
        pytest.fail("it was asked within the pause")
    moment[0] += PAUSE
    with translated(redis):
        redis.ping()


def test_an_exhausted_pool_raises_queue_busy_and_not_queue_away(settings):
    redis = connect(settings.redis_url)
    pool = redis.connection_pool
    pool.timeout = 0.01
    taken = [pool.get_connection() for _ in range(CONNECTIONS)]
    with pytest.raises(QueueBusy), translated(redis):
        redis.ping()
    pool.release(taken.pop())
    with translated(redis):
        assert redis.ping(), "a connection that is free again is used at once"


def test_leaving_a_server_closes_no_connection_that_is_in_use(settings: Settings):
    redis = connect(settings.redis_url)
    ended = Event()

    def leave() -> None:
        while not ended.is_set():
            redis.connection_pool.leave_server()

    def ask(_: int) -> int:
        return sum(redis.ping() for _ in range(100))

    with ThreadPoolExecutor() as threads:
        leaving = threads.submit(leave)
        try:
            assert list(threads.map(ask, range(4))) == [100] * 4
        finally:
            ended.set()
        leaving.result()
