"""Writes the overlays of `--heatmaps`: a picture for each file whose job has a result."""

from collections.abc import Sequence
from pathlib import Path

from osteo_client.command.whole import safe_name, write_whole


class Overlays:
    """Pictures in one folder, which is made. Raises OSError where it cannot be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, job_id: str, files: Sequence[str | None], picture: bytes) -> None:
        """Write `NAME.JOB.png` for each file; the id tells files of one name apart. Raises OSError."""
        for file in files:
            parts = [safe_name(Path(file).stem)] if file else []
            write_whole(self._folder / ".".join([*parts, safe_name(job_id), "png"]), picture)
