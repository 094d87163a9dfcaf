"""Writes files whole or not at all, under names that any file system takes."""

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

LONGEST = 80
"""Letters of a name; with 4 bytes each and a job's id they stay below the 255 bytes of file systems."""


def write_whole(file: Path, data: bytes | Iterable[bytes]) -> None:
    """Write bytes, or parts of them, to a file beside its place, and move it there.

    Raises OSError, and leaves what was there then.
    """
    handle, name = tempfile.mkstemp(prefix=".osteo-", dir=file.parent)
    try:
        # The umask applies, which mkstemp does not ask.
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(handle, 0o666 & ~mask)
        with os.fdopen(handle, "wb") as opened:
            opened.writelines([data] if isinstance(data, bytes) else data)
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def safe_name(text: str) -> str:
    """Make a text part of a file's name: letters, digits and ` ._-`; all else is an underscore."""
    return re.sub(r"[^\w .-]", "_", text)[:LONGEST].strip(" .") or "_"
