"""Makes the targets of a job, of its result, its geometry and its signed reports."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ulid import ULID

from jobs.geometry.camera import Camera, Vector
from jobs.geometry.uncertainty import DISTANCE_PART, PRINCIPAL_PART, pose_covariance
from jobs.record.job import Job
from jobs.record.states import State
from jobs.targets.documents import (
    NO_PLACE,
    CameraDocument,
    FractureClass,
    Frames,
    PatientPlace,
    PatientRegistration,
    PlaceDocument,
    Ray,
    Target,
    TargetsDocument,
)
from jobs.targets.freshness import Freshness, moment_text_ns
from jobs.targets.pairs import OtherView, seen_by_two
from jobs.targets.patient import Sheet, in_patient, sheet_of
from jobs.targets.place import Box, Place, place_of
from jobs.targets.review import Review
from jobs.targets.states import BlockingReason, TargetState
from jobs.targets.view import View, view_of

_METRES, _UNIT_VECTOR = 6, 9
"""Decimals: a micrometre, and a direction that misses by less than that at any distance."""


def targets_document(
    job: Job,
    review: Review,
    fresh: Freshness,
    others: Iterable[Job] = (),
    registered: Mapping[str, Any] | None = None,
) -> TargetsDocument:
    """Return the targets of a job that has succeeded.

    `others` are the other jobs of its study; `registered` is the sheet that was registered in its radiograph.
    """
    view, missing = view_of(job)
    # Nothing is placed by one of two poses.
    sheet = sheet_of(registered) if view and registered and not registered["alternative"] else None
    elsewhere = _elsewhere(others) if view else []
    boxes = boxes_of(job)
    targets: list[Target] = []
    for number, region in enumerate(regions_of(job)):
        state, reasons = _state(region["box"], missing, review, fresh)
        targets.append(
            {
                "id": target_id(job.id, number),
                "class": _class(job),
                "score": region["score"],
                "state": state,
                "actionable": state is TargetState.REVIEWED and not reasons,
                "blocking_reasons": reasons,
                "box_px": [float(side) for side in region["box"]],
                **(_place(job.id, number, boxes, view, elsewhere, sheet) if view else NO_PLACE),
            }
        )
    model, reading = (job.result or {}).get("model") or {}, review.reading
    states = {target["state"] for target in targets} or {TargetState.NO_FINDING}
    all_reasons = {reason for target in targets for reason in target["blocking_reasons"]}
    if not targets:
        all_reasons = {BlockingReason.NOTHING_FOUND}
    return {
        "job": job.id,
        "sequence": 1 + review.told + (registered["revision"] if registered else 0),
        "state": min(states, key=[*TargetState].index),
        "actionable": any(target["actionable"] for target in targets),
        "blocking_reasons": sorted(all_reasons, key=[*BlockingReason].index),
        "acquired_at": None if fresh.acquired_ns is None else moment_text_ns(fresh.acquired_ns),
        "produced_at": moment_text_ns(fresh.produced_ns),
        "valid_until": None if fresh.valid_until_ns is None else moment_text_ns(fresh.valid_until_ns),
        "frames": frames_of(job.id, registered=sheet is not None),
        "registration": _registration(registered, sheet, view.camera)
        if registered and sheet and view
        else None,
        "camera": _camera(view.camera) if view else None,
        "targets": targets,
        "provenance": {
            "image_sha256": job.image.sha256,
            "model_sha256": model.get("sha256"),
            "reading": reading.id if reading else None,
            "jws": reading.reports[-1]["jws"] if reading else None,
        },
    }


def regions_of(job: Job) -> list[dict[str, Any]]:
    """Return the regions that are targets: none where the model has found no fracture, or below its doubt."""
    result = job.result or {}
    if job.state is not State.SUCCEEDED or result.get("finding") == "no_fracture":
        return []
    low = (result.get("operating_points") or {}).get("low", 0.0)
    return [region for region in result.get("regions", ()) if region["score"] >= low]


def boxes_of(job: Job) -> list[Box]:
    """Return the boxes of a job's targets."""
    return [region["box"] for region in regions_of(job)]


def target_id(job_id: str, number: int) -> str:
    """Return the id of a job's target by its number: always the same."""
    made = ULID.from_str(job_id.removeprefix("job_")).bytes[:6]
    return f"target_{ULID(made + hashlib.sha256(f'{job_id} target {number}'.encode()).digest()[:10])}"


def frames_of(job_id: str, registered: bool = False) -> Frames:
    """Return the names of a job's frames. `patient` is one where a sheet is `registered`."""
    return {
        "image": _frame(job_id, "image"),
        "detector": _frame(job_id, "detector"),
        "source": _frame(job_id, "source"),
        "patient": _frame(job_id, "patient") if registered else None,
    }


def _frame(job_id: str, name: str) -> str:
    return f"osteo/{job_id}/{name}"


def _state(
    box: Box, missing: list[BlockingReason], review: Review, fresh: Freshness
) -> tuple[TargetState, list[BlockingReason]]:
    """Return the state of a region, and all that blocks it. What blocks it first is its state."""
    state, blocks = review.of(box)
    if state in (TargetState.REVIEWED, TargetState.ADVISORY):
        if missing:
            state = TargetState.UNCALIBRATED
        elif fresh.reason:
            state = TargetState.STALE
    return state, [reason for reason in (blocks, *missing, fresh.reason) if reason]


def _class(job: Job) -> FractureClass:
    part = (job.acquisition or {}).get("body_part")
    bone = {"code": part["snomed"], "meaning": part["meaning"]} if part else None
    return {"code": "125605004", "meaning": "Fracture of bone", "bone": bone}  # type: ignore[typeddict-item]


def _place(
    job_id: str,
    number: int,
    boxes: Sequence[Box],
    view: View,
    others: list[OtherView],
    sheet: Sheet | None,
) -> PlaceDocument:
    by_two = seen_by_two(number, boxes, view, others)
    place, seen_with = by_two or (place_of(boxes[number], view), None)
    ray = _ray(_frame(job_id, "source"), np.zeros(3), place.direction, place)
    return {
        "box_detector_m": _box_m(boxes[number], view.camera),
        "ray": ray,
        "point_m": _rounded(place.point_m) if place.point_m is not None else None,
        "point_from": place.point_from,
        "residual_m": None if place.residual_m is None else round(place.residual_m, _METRES),
        "seen_with": seen_with,
        "covariance": pose_covariance(place.covariance_m2),
        "in_patient": _in_patient(job_id, place, view.camera, sheet) if sheet else None,
    }


def _ray(frame_id: str, origin_m: Vector, direction: Vector, place: Place) -> Ray:
    return {
        "frame_id": frame_id,
        "origin_m": _rounded(origin_m),
        "direction": [round(float(part), _UNIT_VECTOR) for part in direction],
        "depth_m": [round(depth, _METRES) for depth in place.depth_m],
    }


def _in_patient(job_id: str, place: Place, camera: Camera, sheet: Sheet) -> PatientPlace:
    seen = in_patient(place, camera, sheet)
    return {
        "ray": _ray(_frame(job_id, "patient"), seen.origin_m, seen.direction, place),
        "point_m": None if seen.point_m is None else _rounded(seen.point_m),
        "covariance": pose_covariance(seen.covariance_m2),
    }


def _registration(registered: Mapping[str, Any], sheet: Sheet, camera: Camera) -> PatientRegistration:
    covariance = sheet.covariance(camera)
    return {
        "source_from_patient": registered["source_from_marker"],
        "covariance": [float(value) for value in ((covariance + covariance.T) / 2).ravel()],
        "reprojection_px": registered["reprojection_px"],
        "registered_at": registered["at"],
    }


def _box_m(box: Box, camera: Camera) -> list[float]:
    x, y, width, height = box
    corners = (camera.detector_m(x, y), camera.detector_m(x + width, y + height))
    (left, right), (top, bottom) = (sorted(side) for side in zip(*corners, strict=True))
    return _rounded((left, top, right - left, bottom - top))


def _rounded(lengths_m: Iterable[float]) -> list[float]:
    return [round(float(length), _METRES) for length in lengths_m]


def _elsewhere(others: Iterable[Job]) -> list[OtherView]:
    views = [(other, view_of(other)[0]) for other in others]
    return [OtherView(other.id, view, tuple(boxes_of(other))) for other, view in views if view]


def _camera(camera: Camera) -> CameraDocument:
    (fx_px, fy_px), (cx_px, cy_px) = camera.focal_px, camera.principal_px
    return {
        "fx_px": fx_px,
        "fy_px": fy_px,
        "cx_px": cx_px,
        "cy_px": cy_px,
        "principal_sd_px": [camera.width_px * PRINCIPAL_PART, camera.height_px * PRINCIPAL_PART],
        "source_to_detector_m": camera.source_to_detector_m,
        "source_to_detector_sd_m": float(camera.source_to_detector_m * DISTANCE_PART),
        "spacing_m": [camera.column_spacing_m, camera.row_spacing_m],
        "mirrored": camera.mirrored,
        "width_px": int(camera.width_px),
        "height_px": int(camera.height_px),
    }
