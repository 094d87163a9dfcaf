"""Damages radiographs for any number of seconds: `python -m tests.fuzz [--seconds 600] [--seed 1]`.

Each is a valid file of a format that is read, spoilt in a few places, and is decoded in this process.
What counts as found: an error that is none of model.errors, a hang, memory without measure, and a
crash: the file of the last attempt is what is left then. The same seed spoils the same files alike.
"""

import argparse
import faulthandler
import json
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydicom.uid import RLELossless

from model.decode.image import ImageError, Limits, decode, decode_values
from tests import pictures

HANG_SECONDS = 30
MOST_MEGABYTES = 1500
LIMITS = Limits(4_000_000)


def originals() -> list[bytes]:
    """Valid files, one at least of every format that is read."""
    gray, colours = pictures.gray(), pictures.colours()
    deep = gray.astype("uint16") * 257
    return [
        *(
            pictures.encoded(picture, name)
            for picture in (gray, colours)
            for name in ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
        ),
        pictures.encoded(deep, "PNG"),
        pictures.encoded(deep, "TIFF"),
        pictures.encoded(gray, "TIFF", compression="tiff_lzw"),
        pictures.encoded(gray, "TIFF", compression="jpeg"),
        pictures.encoded(gray, "JPEG", progressive=True),
        pictures.encoded(gray, "WEBP", lossless=True),
        pictures.encoded(gray, mode="P"),
        pictures.animated_webp(),
        pictures.dicom(gray, WindowCenter=1000, WindowWidth=1000, RescaleSlope=2, RescaleIntercept=-10),
        pictures.dicom(gray, frames=2),
        pictures.compressed_dicom(gray, RLELossless),
    ]


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """The same with one to eight places changed, mostly in its head, where sizes and offsets stand."""
    spoiled = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(min(len(spoiled), chance.choice((64, 1024, len(spoiled)))) or 1)
        match chance.randrange(7):
            case 0:
                spoiled[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                spoiled[at : at + 1] = bytes([spoiled[at] ^ 1 << chance.randrange(8)]) if spoiled else b""
            case 2:
                spoiled[at : at + 4] = chance.choice(
                    (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
                )
            case 3:
                spoiled[at : at + 2] = chance.choice((b"\xff\xff", b"\0\0", b"\x80\0"))
            case 4:
                del spoiled[at : at + chance.randint(1, 64)]
            case 5:
                spoiled[at:at] = spoiled[at : at + chance.randint(1, 64)]
            case _:
                del spoiled[chance.randint(at, len(spoiled)) :]
        if not spoiled:
            break
    return bytes(spoiled)


def damaged(seed: int) -> Iterator[bytes]:
    """Damaged files without end."""
    files = originals()
    chance = random.Random(seed)
    while True:
        yield spoilt(chance.choice(files), chance)


def most_memory() -> int:
    """Return the largest resident set in megabytes; ru_maxrss would count the parent process, too."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) // 1024


def main() -> int:
    """Decode damaged files until the time is over; 1 where one does what no file may do."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--last", type=Path, help="where the file of the attempt under way is kept")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # what Pillow and pydicom say before they give up
    outcomes: Counter[str] = Counter()
    until = time.monotonic() + arguments.seconds
    for data in damaged(arguments.seed):
        if time.monotonic() > until:
            break
        if arguments.last:
            arguments.last.write_bytes(data)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        try:
            shown = decode(data, LIMITS)
            outcomes["shown"] += 1
            values = decode_values(data, LIMITS)
            json.dumps(values.facts(), allow_nan=False)
            if values.shown().shape != shown.pixels.shape:
                print("its values have another size than its picture")
                return 1
        except ImageError as refusal:
            outcomes[type(refusal).__name__] += 1
        faulthandler.cancel_dump_traceback_later()
    grown = most_memory()
    print(dict(outcomes), f"{grown} MB at the most")
    return int(grown > MOST_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
