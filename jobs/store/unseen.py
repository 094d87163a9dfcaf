"""The jobs that were marked while Redis did not answer: the agenda lacks them until the sweeper adds them."""

from collections.abc import Iterator

from jobs.store.objects import Objects


class Unseen:
    """The list, an empty object each, at `unseen/<job id>`. Every method may raise StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def add(self, job_id: str) -> None:
        """Note that the agenda may lack this job."""
        self._objects.put(f"unseen/{job_id}", b"")

    def ids(self) -> Iterator[str]:
        """Return the ids of these jobs."""
        return (key.removeprefix("unseen/") for key in self._objects.keys("unseen/"))

    def remove(self, job_id: str) -> None:
        """Note that this job is on the agenda."""
        self._objects.delete(f"unseen/{job_id}")
