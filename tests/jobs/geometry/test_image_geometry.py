"""ROS's own camera model projects our rays back to their pixels: Debian's python3-image-geometry."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from jobs.geometry.camera import Camera, ros_px

PYTHON = "/usr/bin/python3"
PROGRAM = """
import json, sys
from types import SimpleNamespace
from image_geometry import PinholeCameraModel

given = json.load(sys.stdin)
found = []
for one in given:
    fx, fy, cx, cy = one["camera"]
    model = PinholeCameraModel()
    model.fromCameraInfo(SimpleNamespace(
        K=[fx, 0, cx, 0, fy, cy, 0, 0, 1], D=[], R=[1, 0, 0, 0, 1, 0, 0, 0, 1],
        P=[fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0], width=one["size"][0], height=one["size"][1],
        binning_x=0, binning_y=0, header=SimpleNamespace(frame_id="source", stamp=0),
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    ))
    found.append([[model.project3dToPixel(point), model.projectPixelTo3dRay(pixel)]
                  for point, pixel in zip(one["points"], one["pixels"])])
json.dump(found, sys.stdout)
"""


def installed() -> bool:
    check = (PYTHON, "-c", "import image_geometry")
    return Path(PYTHON).exists() and subprocess.run(check, capture_output=True).returncode == 0


@pytest.mark.parametrize("mirrored", [False, True])
def test_image_geometry_projects_our_rays_to_their_pixels(mirrored: bool):
    if not installed():
        pytest.skip(
            "NO RAY WAS COMPARED WITH ROS: `make test-robots` says what is missing (python3-image-geometry)"
        )
    rng = np.random.default_rng(1)
    asked, expected = [], []
    for _ in range(20):
        width, height = rng.integers(200, 4000, 2).tolist()
        spacing = rng.uniform(5e-5, 5e-4, 2)
        camera = Camera(rng.uniform(0.5, 2), *spacing, width, height, (width / 2, height / 2), mirrored)
        pixels = rng.uniform((0, 0), (width, height), (10, 2))
        rays = [camera.direction_through(*pixel) for pixel in pixels]
        points = [(ray * rng.uniform(0.1, 2)).tolist() for ray in rays]
        centre = [ros_px(value) for value in camera.principal_px]
        in_ros = [[ros_px(value) for value in pixel] for pixel in pixels.tolist()]
        one = {"camera": [*camera.focal_px, *centre], "size": [width, height]}
        asked.append(one | {"points": points, "pixels": in_ros})
        expected.append([(pixel, ray.tolist()) for pixel, ray in zip(in_ros, rays, strict=True)])
    ran = subprocess.run(
        [PYTHON, "-c", PROGRAM], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    for found, known in zip(json.loads(ran.stdout), expected, strict=True):
        for (pixel, ray), (known_pixel, known_ray) in zip(found, known, strict=True):
            assert pixel == pytest.approx(known_pixel, abs=1e-6)
            assert ray == pytest.approx(known_ray, abs=1e-9)
