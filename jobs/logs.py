"""Writes structured logs: one JSON object a line, with the job id and the trace where there is one."""

import logging

from pythonjsonlogger.json import JsonFormatter

from jobs.trace import name_trace


def log_as_json(level: str) -> None:
    """Send every logger of this process to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    handler.addFilter(name_trace)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
