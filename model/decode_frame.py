"""Decodes one compressed frame of DICOM's: `model.contained` runs this file as a process of its own.

The codestream comes on standard input; the bytes of a sample and the pixels, little-endian, go to standard
output. The decoders are C: on damaged data they may loop for hours or crash, and then only this process does.
"""

import resource
import sys


def main(codec: str, seconds: int) -> None:
    """Decode with the function of imagecodecs named `codec`, in so many seconds of processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import imagecodecs

    pixels = getattr(imagecodecs, codec)(sys.stdin.buffer.read())
    sys.stdout.buffer.write(bytes([pixels.itemsize]))
    sys.stdout.buffer.write(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
