"""Bounds the depth of what a radiograph shows: its distance from the focal spot along the central ray."""

LEAST_DEPTH_M = 0.2
"""Least distance of the focal spot and what is shown: an assumption; cones keep skin at about so far."""
THICKEST_M = 0.5
"""Thickness of a body that a radiograph is taken through."""
BESIDE_PLANE_M = 0.05
"""So far a bone may lie from the plane for which a spacing was calibrated."""


def depth_interval_m(
    source_to_detector_m: float, source_to_patient_m: float | None = None
) -> tuple[float, float]:
    """Return between which depths the patient lies.

    `source_to_patient_m` is DICOM's (0018,1111). Devices mean the support behind the patient by it, or the
    isocentre in the patient: the interval holds for both.
    """
    if source_to_patient_m is None:
        return LEAST_DEPTH_M, source_to_detector_m
    near_m = max(LEAST_DEPTH_M, source_to_patient_m - THICKEST_M)
    return near_m, min(source_to_detector_m, source_to_patient_m + THICKEST_M / 2)


def plane_interval_m(source_to_detector_m: float, magnification: float) -> tuple[float, float]:
    """Return between which depths a bone lies whose plane is shown `magnification` times as large."""
    plane_m = source_to_detector_m / magnification
    return (
        max(LEAST_DEPTH_M, plane_m - BESIDE_PLANE_M),
        min(source_to_detector_m, plane_m + BESIDE_PLANE_M),
    )
