"""Defines what can be wrong with submitted bytes or with a bundle; each error says what to do."""


class ImageError(ValueError):
    """The submitted image cannot be analysed; `detail` tells the sender what to do about it."""

    def __init__(self, detail: str) -> None:
        """Keep `detail`, a full sentence or two without file names or patient data."""
        super().__init__(detail)
        self.detail = detail


class UnreadableFormat(ImageError):
    """The bytes are none of the formats that we read."""


class TooManyPixels(ImageError):
    """The header declares more pixels than the limit; nothing was decoded."""


class BrokenImage(ImageError):
    """The format is one of ours, but the bytes do not yield exactly one usable picture."""


class NotARadiograph(ImageError):
    """The picture decodes, but does not look like an X-ray."""


class NoDecoder(RuntimeError):
    """No decode process is free, or none starts: nothing is said of the image, and it may be tried again."""


class BundleRefused(RuntimeError):
    """The bundle is incomplete, altered or made for another version of this code."""


class NoEngine(RuntimeError):
    """The engine that was asked for is not installed; the message says what to do."""
