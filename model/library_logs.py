"""Keeps what libraries say of a patient's file out of the log: it holds the values of elements and tags."""

import logging
import warnings
from functools import cache


@cache
def silence_pydicom() -> None:
    """Turn off pydicom's log, its warnings and its validation of values in this process.

    A process calls this before it parses a file; further calls change nothing, and any thread may call.
    """
    from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    logging.getLogger("pydicom").disabled = True
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def silence_tifffile() -> None:
    """Turn off tifffile's log in this process. Any thread may call this, as often as it likes."""
    logging.getLogger("tifffile").disabled = True
