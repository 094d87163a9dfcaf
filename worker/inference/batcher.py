"""Collects the radiographs of all task threads into batches, on which one thread runs the model."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from worker.inference.metrics import count_batch

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Runs `work` on the items that wait, at most `most` at once. It does not wait for a batch to fill."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: SimpleQueue[tuple[Item, Future[Answer]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> "Future[Answer]":
        """Submit one item. The future has its answer, or the error that `work` raised."""
        future: Future[Answer] = Future()
        self._waiting.put((item, future))
        return future

    def close(self) -> None:
        """End the thread, and with it the last use of `work`. To be called once no item waits any more."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            with suppress(Empty):
                while len(batch) < self._most and (item := self._waiting.get_nowait()) is not None:
                    batch.append(item)
            self._answer(batch)

    def _answer(self, batch: list[tuple[Item, "Future[Answer]"]]) -> None:
        try:
            answers = self._work([item for item, _ in batch])
            count_batch(len(batch))
        except Exception as error:
            if len(batch) > 1:
                # One bad item must not fail the others: each is tried alone.
                log.warning("a batch failed; its items are tried one by one", exc_info=error)
                for entry in batch:
                    self._answer([entry])
                return
            batch[0][1].set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)
