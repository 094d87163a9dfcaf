"""Decodes submitted pictures in processes of their own, and turns their errors into problems."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from api.http.problem import RETRY_SECONDS, Problem
from api.http.problem_kinds import Slug
from jobs.settings import Settings
from model.decode_processes.pool import AprilTags, Decoders, Facts
from model.decode_processes.process import Bounds
from model.errors import BrokenImage, ImageError, NoDecoder, TooManyPixels
from model.prediction import Outlines


@dataclass(frozen=True)
class Pictures:
    """Reads pictures and draws overlays, in the decode processes.

    Every method raises Problem: 413, 415 or 422 for the picture, 503 where no process is free to decode it.
    """

    decoders: Decoders
    max_pixels: int

    @classmethod
    def of(cls, settings: Settings) -> "Pictures":
        """Make one within the bounds of the settings. No process is started yet."""
        bounds = Bounds(**settings.decode_bounds)
        decoders = Decoders(bounds, settings.decode_processes, settings.decode_wait_seconds)
        return cls(decoders, settings.max_pixels)

    def facts(self, data: bytes, client: str) -> Facts:
        """Read the facts of a picture of this client: format, size, digest and acquisition."""
        with self._translated():
            return self.decoders.facts(data, client)

    def values(self, data: bytes, client: str, coding: str | None) -> tuple[dict[str, Any], bytes]:
        """Read the pixels of a picture of this client before any window: their facts, and uint16."""
        with self._translated():
            return self.decoders.values(data, client, coding)

    def overlay(self, data: bytes, outlines: Outlines, client: str) -> bytes:
        """Draw outlines onto a picture of this client, as PNG."""
        with self._translated():
            return self.decoders.overlay(data, outlines, client)

    def preview(self, data: bytes, client: str) -> bytes:
        """Draw a picture of this client small, through its default window, as JPEG."""
        with self._translated():
            return self.decoders.preview(data, client)

    def april_tags(self, data: bytes, client: str, ids: tuple[int, ...], max_pixels: int) -> AprilTags:
        """Find the AprilTags of these ids in a photograph of this client, of at most `max_pixels`."""
        with self._translated(max_pixels):
            return self.decoders.april_tags(data, client, ids, max_pixels)

    def lead_tags(self, data: bytes, client: str, ids: tuple[int, ...]) -> AprilTags:
        """Find the AprilTags of these ids that a radiograph of this client shows in lead."""
        with self._translated():
            return self.decoders.lead_tags(data, client, ids)

    @contextmanager
    def _translated(self, max_pixels: int | None = None) -> Iterator[None]:
        try:
            yield
        except TooManyPixels as error:
            most = min(max_pixels or self.max_pixels, self.max_pixels)
            raise Problem(Slug.TOO_MANY_PIXELS, error.detail, max_pixels=most) from error
        except BrokenImage as error:
            raise Problem(Slug.BROKEN_IMAGE, error.detail) from error
        except ImageError as error:
            raise Problem(Slug.UNSUPPORTED_IMAGE, error.detail) from error
        except NoDecoder as error:
            detail = "Too many images are being decoded at this moment. Send the request again later."
            raise Problem(Slug.TOO_BUSY, detail, retry_after=RETRY_SECONDS) from error
