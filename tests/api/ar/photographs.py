"""Photographs of the project's own marker sheet, drawn at known poses."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageFilter

from api.ar.marker import marker_sheet

A4_MM = (210, 297)
PX_A_MM = 4
"""Of the sheet as it is rasterised."""
SIZE = (960, 720)
CAMERA = {"fx_px": 900.0, "fy_px": 900.0, "cx_px": 480.0, "cy_px": 360.0}
_FINER = 2
FACING = np.diag([1.0, -1.0, -1.0])
"""The rotation of a sheet that is seen straight from the front, upright."""


@dataclass(frozen=True)
class Scene:
    """A sheet before the camera: its pose, and the size for which it was drawn."""

    rotation: np.ndarray
    translation_m: np.ndarray
    size_mm: float = 50

    def pixels_of(self, points_m: np.ndarray) -> np.ndarray:
        """The pixels that show (n, 2) points of the marker's plane."""
        placed = points_m @ self.rotation[:, :2].T + self.translation_m
        focal, middle = [CAMERA["fx_px"], CAMERA["fy_px"]], [CAMERA["cx_px"], CAMERA["cy_px"]]
        return np.asarray(placed[:, :2] / placed[:, 2:] * focal + middle)

    def corners_px(self) -> np.ndarray:
        """The pixels that show the corners of the marker, clockwise from its upper left one."""
        half = self.size_mm / 2000
        return self.pixels_of(np.array([[-half, half], [half, half], [half, -half], [-half, -half]]))


@cache
def sheet(size_mm: float) -> Image.Image:
    """The sheet as PDFium draws it."""
    import pypdfium2

    (page,) = pypdfium2.PdfDocument(marker_sheet(size_mm))
    return page.render(scale=PX_A_MM * 25.4 / 72, grayscale=True).to_pil().convert("L")


def sheet_seen_at(
    size_mm: float,
    rotation: np.ndarray,
    translation_m: np.ndarray,
    intrinsics: Iterable[float],
    size: tuple[int, int],
    around: int,
) -> Image.Image:
    """The sheet at a pose before a pinhole camera (fx, fy, cx, cy), on a ground of one gray."""
    drawn, (width, height) = sheet(size_mm), size
    # The middle of the marker on the sheet, in its pixels: see api.ar.marker.
    top_mm = 25 + size_mm / 8 + size_mm / 2
    across, down = drawn.width / A4_MM[0] * 1000, drawn.height / A4_MM[1] * 1000
    middle_x, middle_y = drawn.width / 2, down * top_mm / 1000
    to_plane = np.array([[1 / across, 0, -middle_x / across], [0, -1 / down, middle_y / down], [0, 0, 1]])
    fx, fy, cx, cy = intrinsics
    camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    placed = np.column_stack([rotation[:, :2], translation_m])
    to_sheet = np.linalg.inv(np.diag([_FINER, _FINER, 1]) @ camera @ placed @ to_plane)
    seen = drawn.transform(
        (width * _FINER, height * _FINER),
        Image.Transform.PERSPECTIVE,
        (to_sheet / to_sheet[2, 2]).ravel()[:8].tolist(),
        Image.Resampling.BICUBIC,
        fillcolor=around,
    )
    return seen.resize(size, Image.Resampling.BOX)


def photograph(
    scene: Scene, blur_px: float = 0.7, noise: float = 4.0, seed: int = 0, **save: object
) -> bytes:
    """The sheet at this pose, on gray, blurred and with noise, as JPEG."""
    picture = sheet_seen_at(scene.size_mm, scene.rotation, scene.translation_m, CAMERA.values(), SIZE, 140)
    shades = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur_px)), float) * 0.75 + 30
    shades += np.random.default_rng(seed).normal(size=shades.shape) * noise
    file = io.BytesIO()
    Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8)).save(file, "JPEG", **{"quality": 92} | save)
    return file.getvalue()


def turned(about: np.ndarray) -> np.ndarray:
    """The rotation about an axis by its length."""
    angle = np.linalg.norm(about)
    x, y, z = about / (angle or 1)
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across)


def drawn_scene(seed: int) -> Scene:
    """A pose by chance: at arm's length, tilted by up to 55 degrees, turned in any way, in the picture."""
    rng = np.random.default_rng(seed)
    depth, tilt, where = rng.uniform(0.3, 0.7), np.radians(rng.uniform(0, 55)), rng.uniform(0, 2 * np.pi)
    rotation = turned(tilt * np.array([np.cos(where), np.sin(where), 0])) @ FACING
    rotation = rotation @ turned(np.array([0, 0, rng.uniform(-np.pi, np.pi)]))
    aside = rng.uniform(-0.15, 0.15, 2) * depth
    return Scene(rotation, np.array([*aside, depth]))
