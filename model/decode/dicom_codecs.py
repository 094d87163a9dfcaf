"""Decodes JPEG of 12 bits, lossless JPEG, JPEG-LS and JPEG 2000 for pydicom, by imagecodecs.

imagecodecs (BSD) has them all; pydicom's own plug-ins need a GPL library for 12 bits, or GDCM, which leaves
them out. It is not built for every processor: where it is missing, these files are refused. The decoders are
C: on damaged data they may loop for hours or crash, which is what `model.decode_processes` is there for.
"""

from importlib.util import find_spec
from threading import Lock

from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
CODECS = {
    uid.JPEGExtended12Bit: "jpeg8_decode",
    uid.JPEGLossless: "jpeg8_decode",
    uid.JPEGLosslessSV1: "jpeg8_decode",
    uid.JPEGLSLossless: "jpegls_decode",
    uid.JPEGLSNearLossless: "jpegls_decode",
    uid.JPEG2000Lossless: "jpeg2k_decode",
    uid.JPEG2000: "jpeg2k_decode",
}
DECODER_DEPENDENCIES = dict.fromkeys(CODECS, (PLUGIN,))
"""pydicom reads this name, and says what is missing where the plug-in is not available."""
_REGISTERED: set[str] = set()
_REGISTERING = Lock()
"""pydicom's `add_plugin` is not thread-safe, and raises where the plug-in is known."""


def is_available(syntax: str) -> bool:
    """Whether this plug-in decodes the transfer syntax; asked by pydicom."""
    return syntax in CODECS and find_spec(PLUGIN) is not None


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode one gray frame to little-endian pixels; called by pydicom. Raises nearly anything."""
    # Late: it is large, and few files need it.
    import imagecodecs

    pixels = getattr(imagecodecs, CODECS[runner.transfer_syntax])(source)
    if pixels.shape != (runner.rows, runner.columns):
        raise ValueError("the decoder made a picture of another size than the header says")
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    if pixels.itemsize == 1:
        return bytes(pixels.astype("<u1").tobytes())
    if pixels.itemsize == 2:
        return bytes(pixels.astype("<u2").tobytes())
    raise ValueError("the decoder made a picture of more than 16 bits")


def register() -> None:
    """Offer this plug-in to pydicom, unless this process has done so. Any thread may call this."""
    with _REGISTERING:
        for syntax in CODECS:
            if syntax not in _REGISTERED:
                get_decoder(syntax).add_plugin(PLUGIN, (__name__, "decode_frame"))
                _REGISTERED.add(syntax)
