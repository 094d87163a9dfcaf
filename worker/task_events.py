"""Sends events of tasks, which Flower shows, once a second. Celery sends them at each turn of its loop."""

from typing import Any

from celery.bootsteps import StartStopStep

_SECONDS = 1.0


class BatchedEvents(StartStopStep):
    """A step of a Celery worker, which is started anew with each connection to the broker."""

    requires = ("celery.worker.consumer:Events",)
    _sending: Any = None

    def start(self, consumer: Any) -> None:
        """Begin to send. Events for which Celery's buffer has no room are sent at once."""
        events = consumer.event_dispatcher
        events.on_send_buffered = None
        self._sending = consumer.timer.call_repeatedly(_SECONDS, events.flush)

    def stop(self, consumer: Any) -> None:
        """Send what is left, and end. Celery also stops steps that it has not started."""
        if self._sending:
            self._sending.cancel()
            self._sending = None
            consumer.event_dispatcher.flush()
