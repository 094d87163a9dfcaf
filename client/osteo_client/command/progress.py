"""Shows the progress of many X-rays at the terminal: a bar, and a line for each."""

import json
import logging
import sys
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

from osteo_client.command.table import row_of
from osteo_client.errors import JobFailed, OsteoError, Problem
from osteo_client.job import Job


class Output:
    """Writes what was asked for to standard output: a line of text for each thing, or of JSON."""

    def __init__(self, as_json: bool, keeps_rows: bool = True) -> None:
        self.as_json = as_json
        self.rows: list[dict[str, object]] | None = [] if keeps_rows else None
        """A row for each X-ray that was printed, for a table; None where there is none to write."""

    def line(self, text: str, **fields: Any) -> None:
        """Print one thing, as text or as JSON. A bar steps aside for it."""
        with _beside_bars():
            print(json.dumps(fields) if self.as_json else _escape(text), flush=True)

    def job(self, job: Job, file: str | None = None) -> None:
        """Print one job, and the file that was submitted."""
        self._keep(row_of(job, file))
        parts = [job.id, job.state]
        if job.result:
            parts.append(f"{job.result.finding} {_in_words(job.result.probability)}")
            parts += [warning.type for warning in job.result.warnings]
        if job.error:
            parts.append(job.error.type)
        fields = {"file": file} if file else {}
        self.line("  ".join([*parts, *fields.values()]), id=job.id, **fields, job=job.document)

    def error(self, error: OsteoError | OSError, **fields: str) -> None:
        """Print what went wrong with one thing; as text to standard error."""
        # A system's error names its file once more, in a form of its own.
        why = error.strerror if isinstance(error, OSError) and error.strerror and fields else str(error)
        said = {"type": type(error).__name__, "detail": why}
        if isinstance(error, Problem):
            said = error.document
        if isinstance(error, JobFailed):
            self._keep(row_of(error.job, fields.get("file")))
        elif "id" in fields or "file" in fields:
            self._keep({"file": fields.get("file"), "job": fields.get("id"), "error": why})
        if self.as_json:
            self.line("", **fields, error=said)
        else:
            with _beside_bars():
                text = _escape(": ".join(["osteo", *fields.values(), why]))
                print(text, file=sys.stderr, flush=True)

    def _keep(self, row: dict[str, object]) -> None:
        if self.rows is not None:
            self.rows.append(row)


class Bar:
    """A bar on standard error, where that is a terminal and tqdm is installed; otherwise nothing."""

    def __init__(self, what: str, total: int) -> None:
        try:
            from tqdm import tqdm
        except ImportError:
            self._bar = None
        else:
            self._bar = tqdm(total=total, desc=what, unit="X-ray", disable=None, file=sys.stderr)

    def step(self, beside: str = "") -> None:
        """Count one more that is done."""
        if self._bar is not None:
            self._bar.set_postfix_str(beside, refresh=False)
            self._bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Waits(logging.Handler):
    """Says on standard error that the service is away or busy, and for how long."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        with _beside_bars():
            print(_escape(f"osteo: {record.getMessage()}"), file=sys.stderr, flush=True)


def _escape(text: str) -> str:
    """Escape what a terminal would obey: the name of a file may contain anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _beside_bars() -> AbstractContextManager[object]:
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    beside: AbstractContextManager[object] = tqdm.external_write_mode(file=sys.stdout)
    return beside


def _in_words(probability: float) -> str:
    """Show two digits, and at the edges no more certainty than there is."""
    if probability < 0.01:
        return "< 0.01"
    return "> 0.99" if probability > 0.99 else f"{probability:.2f}"
