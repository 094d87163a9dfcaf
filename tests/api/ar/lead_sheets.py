"""Radiographs of a sheet with lead tags, drawn through a tube and a detector that are slightly wrong."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import ImageFilter

from jobs.geometry.camera import Camera
from jobs.geometry.uncertainty import DISTANCE_PART, PRINCIPAL_PART, SPACING_PART
from tests.api.ar.photographs import FACING, sheet_seen_at, turned

SIDE_PX = 640
NOMINAL = Camera(1.1, 0.0004, 0.0004, SIDE_PX, SIDE_PX, (SIDE_PX / 2, SIDE_PX / 2))
HEADER: dict[str, Any] = {
    "DistanceSourceToDetector": 1100,
    "ImagerPixelSpacing": [0.4, 0.4],
    "ViewPosition": "AP",
    "PatientOrientation": ["L", "F"],
}
"""What the header says of `NOMINAL`: seen from the tube."""
MIRRORED = HEADER | {"PatientOrientation": ["R", "F"]}


@dataclass(frozen=True)
class LeadSheet:
    """A sheet in the frame `source`, the camera that shows it, and the size for which it was drawn."""

    rotation: np.ndarray
    translation_m: np.ndarray
    camera: Camera = NOMINAL
    size_mm: float = 50

    def pixels_of(self, points_m: np.ndarray) -> np.ndarray:
        """The pixels that show (n, 2) points of the sheet."""
        return np.array([self.camera.pixel_of(point) for point in self.in_source_m(points_m)])

    def in_source_m(self, points_m: np.ndarray) -> np.ndarray:
        """Points of the frame of the marker, (n, 2) or (n, 3), in the frame `source`."""
        return np.asarray(points_m @ self.rotation[:, : points_m.shape[1]].T + self.translation_m)


def drawn_sheet(seed: int, back: bool = False) -> LeadSheet:
    """A pose by chance: near a patient, tilted by up to 30 degrees, turned in any way, with a wrong camera.

    `back` has the printed face look to the detector.
    """
    rng = np.random.default_rng(seed)
    tilt, where = np.radians(rng.uniform(0, 30)), rng.uniform(0, 2 * np.pi)
    rotation = turned(tilt * np.array([np.cos(where), np.sin(where), 0])) @ (np.eye(3) if back else FACING)
    rotation = rotation @ turned(np.array([0, 0, rng.uniform(-np.pi, np.pi)]))
    middle = rotation[:, :2] @ np.array([0.025, -0.027])  # Of both tags.
    aside = rng.uniform(-0.01, 0.01, 2)
    return LeadSheet(rotation, np.array([*aside, rng.uniform(0.8, 1.0)]) - middle, wrong_camera(rng))


def wrong_camera(rng: np.random.Generator) -> Camera:
    """A camera that differs from what the header says of it, within the tolerances."""

    def wrong(value: float, part: float) -> float:
        return float(value * (1 + rng.normal(0, part)))

    return replace(
        NOMINAL,
        source_to_detector_m=wrong(NOMINAL.source_to_detector_m, DISTANCE_PART),
        column_spacing_m=wrong(NOMINAL.column_spacing_m, SPACING_PART),
        row_spacing_m=wrong(NOMINAL.row_spacing_m, SPACING_PART),
        principal_px=(wrong(SIDE_PX / 2, 2 * PRINCIPAL_PART), wrong(SIDE_PX / 2, 2 * PRINCIPAL_PART)),
    )


def radiograph_of(at: LeadSheet, seed: int = 0, blur_px: float = 0.6, noise: float = 3.0) -> np.ndarray:
    """What the radiograph shows, uint8: the black of the sheet is lead, which is bright."""
    intrinsics = (*at.camera.focal_px, *at.camera.principal_px)
    seen = sheet_seen_at(at.size_mm, at.rotation, at.translation_m, intrinsics, (SIDE_PX, SIDE_PX), 255)
    picture = seen.filter(ImageFilter.GaussianBlur(blur_px))
    lead = 1 - np.asarray(picture, float) / 255
    x, y = np.meshgrid(np.linspace(-1, 1, SIDE_PX), np.linspace(-1, 1, SIDE_PX))
    tissue = 110 - 50 * (x**2 + y**2) / 2
    shades = tissue + lead * (235 - tissue)
    return np.clip(shades + np.random.default_rng(seed).normal(size=shades.shape) * noise, 0, 255).astype(
        np.uint8
    )
