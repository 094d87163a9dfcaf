"""Writes the table of `--csv`: a row for each X-ray."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from itertools import chain

from osteo_client.job import Job

COLUMNS = ("file", "job", "state", "finding", "probability", "model", "warnings", "error")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def row_of(job: Job, file: str | None) -> dict[str, object]:
    """Make the row of a job as last fetched."""
    row: dict[str, object] = {"file": file, "job": job.id, "state": job.state}
    if job.result:
        row |= {
            "finding": job.result.finding,
            "probability": job.result.probability,
            "model": job.result.model,
            "warnings": " ".join(warning.type for warning in job.result.warnings),
        }
    if job.error:
        row["error"] = f"{job.error.type}: {job.error.detail}"
    return row


def table(rows: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    """Yield the lines of a CSV table in UTF-8: the header, then the rows.

    A cell that a spreadsheet would run as a formula gets an apostrophe.
    """
    header = dict(zip(COLUMNS, COLUMNS, strict=True))
    for row in chain([header], rows):
        line = StringIO(newline="")
        csv.DictWriter(line, COLUMNS, restval="").writerow({n: _cell(v) for n, v in row.items()})
        yield line.getvalue().encode(errors="backslashreplace")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
