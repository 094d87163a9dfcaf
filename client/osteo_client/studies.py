"""Adds studies, test events and redelivery to both clients."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from osteo_client.exchange import Steps
from osteo_client.job import Priority
from osteo_client.steps import Image
from osteo_client.study import Probe, Study
from osteo_client.study_steps import StudySteps

T = TypeVar("T")


class Studies(ABC):
    """What a client can ask beside jobs and keys."""

    _studies: StudySteps

    @abstractmethod
    def _run(self, steps: Steps[T]) -> T:
        """Take the steps to their end."""

    def submit_study(
        self,
        images: Sequence[Image],
        *,
        callback_url: str | None = None,
        reference: str | None = None,
        priority: Priority | None = None,
        idempotency_key: str | None = None,
    ) -> Study:
        """Submit up to 20 X-rays of one bone as one study: all are accepted, or none."""
        fields = {"callback_url": callback_url, "reference": reference, "priority": priority}
        return self._run(self._studies.submit(images, idempotency_key, **fields))

    def study(self, study_id: str) -> Study:
        """Fetch the study with this id, as it is now. Raises Problem where there is none."""
        return self._run(self._studies.study(study_id))

    def wait_for_study(self, study_id: str, timeout: float | None = None) -> Study:
        """Wait until all views of the study have ended. Raises NotEnded after `timeout` seconds."""
        return self._run(self._studies.wait(study_id, timeout))

    def redeliver(self, id_: str) -> None:
        """Have the callback of an ended job or study sent once more. Raises Problem where it has none."""
        self._run(self._studies.redeliver(id_))

    def send_probe(self, callback_url: str) -> Probe:
        """Have a test event sent to this address. Raises CallbackRefused."""
        return self._run(self._studies.send_probe(callback_url))

    def probe(self, probe_id: str) -> Probe:
        """Fetch the test event with this id, and how its call ended. Raises Problem where there is none."""
        return self._run(self._studies.probe(probe_id))


class AsyncStudies(ABC):
    """What a client can ask beside jobs and keys."""

    _studies: StudySteps

    @abstractmethod
    async def _run(self, steps: Steps[T]) -> T:
        """Take the steps to their end."""

    async def submit_study(
        self,
        images: Sequence[Image],
        *,
        callback_url: str | None = None,
        reference: str | None = None,
        priority: Priority | None = None,
        idempotency_key: str | None = None,
    ) -> Study:
        """Submit up to 20 X-rays of one bone as one study: all are accepted, or none."""
        fields = {"callback_url": callback_url, "reference": reference, "priority": priority}
        return await self._run(self._studies.submit(images, idempotency_key, **fields))

    async def study(self, study_id: str) -> Study:
        """Fetch the study with this id, as it is now. Raises Problem where there is none."""
        return await self._run(self._studies.study(study_id))

    async def wait_for_study(self, study_id: str, timeout: float | None = None) -> Study:
        """Wait until all views of the study have ended. Raises NotEnded after `timeout` seconds."""
        return await self._run(self._studies.wait(study_id, timeout))

    async def redeliver(self, id_: str) -> None:
        """Have the callback of an ended job or study sent once more. Raises Problem where it has none."""
        await self._run(self._studies.redeliver(id_))

    async def send_probe(self, callback_url: str) -> Probe:
        """Have a test event sent to this address. Raises CallbackRefused."""
        return await self._run(self._studies.send_probe(callback_url))

    async def probe(self, probe_id: str) -> Probe:
        """Fetch the test event with this id, and how its call ended. Raises Problem where there is none."""
        return await self._run(self._studies.probe(probe_id))
