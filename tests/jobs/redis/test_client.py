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
    """A Redis that is stopped: it takes connections and never says a word. Yields its URL and who came."""
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
            view.client_queues.waiting()
    assert len(came) == 1


def test_it_is_asked_again_after_a_pause(settings, monkeypatch):
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


def test_an_exhausted_pool_is_not_a_redis_that_is_away(settings):
    redis = connect(settings.redis_url)
    pool = redis.connection_pool
    pool.timeout = 0.01
    taken = [pool.get_connection() for _ in range(CONNECTIONS)]
    with pytest.raises(QueueBusy), translated(redis):
        redis.ping()
    pool.release(taken.pop())
    with translated(redis):
        assert redis.ping(), "a connection that is free again is used at once"


def test_connections_that_are_left_are_taken_from_no_thread_at_work(settings: Settings):
    redis = connect(settings.redis_url)
    ended = Event()

    def leave() -> None:
        while not ended.is_set():
            redis.connection_pool.leave_server()

    def ask(_: int) -> int:
        return sum(redis.ping() for _ in range(300))

    with ThreadPoolExecutor() as threads:
        leaving = threads.submit(leave)
        try:
            assert list(threads.map(ask, range(4))) == [300] * 4
        finally:
            ended.set()
        leaving.result()
