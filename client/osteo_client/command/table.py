"""Writes the table of `--csv`: a row for each X-ray."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO

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


def table(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Write the rows as CSV in UTF-8. A cell that a spreadsheet would run as a formula gets an apostrophe."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue().encode(errors="backslashreplace")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
