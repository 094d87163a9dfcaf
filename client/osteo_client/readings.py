"""Adds readings to both clients: to have a person read a job, and to fetch what was signed."""

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from osteo_client.exchange import Steps
from osteo_client.job import Priority
from osteo_client.reading import Reading
from osteo_client.reading_steps import ReadingSteps

T = TypeVar("T")


class Readings(ABC):
    """What a client can ask about readings."""

    _readings: ReadingSteps

    @abstractmethod
    def _run(self, steps: Steps[T]) -> T:
        """Take the steps to their end."""

    def request_reading(
        self,
        job_id: str,
        *,
        priority: Priority | None = None,
        due_seconds: int | None = None,
        question: str | None = None,
        callback_url: str | None = None,
    ) -> Reading:
        """Have a person read the radiograph of a job. While a reading of it is open, that one is returned.

        Its events go to `callback_url`, by default that of the job. Raises NotRead where the operator has
        named no readers for this client.
        """
        wishes = {"priority": priority, "due_seconds": due_seconds, "question": question}
        return self._run(self._readings.request(job_id, callback_url=callback_url, **wishes))

    def readings(self, job_id: str) -> list[Reading]:
        """List the readings of a job, oldest first."""
        return self._run(self._readings.of_job(job_id))

    def reading(self, reading_id: str) -> Reading:
        """Fetch a reading as it is now. Raises NoSuchReading."""
        return self._run(self._readings.reading(reading_id))

    def await_reading(self, reading_id: str, timeout: float | None = None) -> Reading:
        """Wait until the reading is signed, returned, canceled or expired, and return it.

        Raises NotEnded after `timeout` seconds. A reading takes minutes to hours: a callback tells of its
        end, too.
        """
        return self._run(self._readings.wait(reading_id, timeout))

    def cancel_reading(self, reading_id: str) -> Reading:
        """Cancel a reading that is not signed. Raises ReadingMoved and NoSuchReading."""
        return self._run(self._readings.cancel(reading_id))

    def key_set(self) -> dict[str, Any]:
        """Fetch the public keys that reports are signed with, as a JSON Web Key Set (RFC 7517)."""
        return self._run(self._readings.key_set())


class AsyncReadings(ABC):
    """What a client can ask about readings."""

    _readings: ReadingSteps

    @abstractmethod
    async def _run(self, steps: Steps[T]) -> T:
        """Take the steps to their end."""

    async def request_reading(
        self,
        job_id: str,
        *,
        priority: Priority | None = None,
        due_seconds: int | None = None,
        question: str | None = None,
        callback_url: str | None = None,
    ) -> Reading:
        """Have a person read the radiograph of a job. While a reading of it is open, that one is returned.

        Its events go to `callback_url`, by default that of the job. Raises NotRead where the operator has
        named no readers for this client.
        """
        wishes = {"priority": priority, "due_seconds": due_seconds, "question": question}
        return await self._run(self._readings.request(job_id, callback_url=callback_url, **wishes))

    async def readings(self, job_id: str) -> list[Reading]:
        """List the readings of a job, oldest first."""
        return await self._run(self._readings.of_job(job_id))

    async def reading(self, reading_id: str) -> Reading:
        """Fetch a reading as it is now. Raises NoSuchReading."""
        return await self._run(self._readings.reading(reading_id))

    async def await_reading(self, reading_id: str, timeout: float | None = None) -> Reading:
        """Wait until the reading is signed, returned, canceled or expired, and return it.

        Raises NotEnded after `timeout` seconds. A reading takes minutes to hours: a callback tells of its
        end, too.
        """
        return await self._run(self._readings.wait(reading_id, timeout))

    async def cancel_reading(self, reading_id: str) -> Reading:
        """Cancel a reading that is not signed. Raises ReadingMoved and NoSuchReading."""
        return await self._run(self._readings.cancel(reading_id))

    async def key_set(self) -> dict[str, Any]:
        """Fetch the public keys that reports are signed with, as a JSON Web Key Set (RFC 7517)."""
        return await self._run(self._readings.key_set())
