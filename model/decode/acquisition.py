"""Holds how a picture was acquired, in codes. Without pydicom, which a worker does not load."""

from dataclasses import dataclass, field
from typing import Any

BODY_PARTS = {
    "ANKLE": ("70258002", "Ankle joint structure"),
    "ARM": ("40983000", "Upper arm structure"),
    "CALCANEUS": ("80144004", "Calcaneus"),
    "CHEST": ("51185008", "Thoracic structure"),
    "CLAVICLE": ("51299004", "Clavicle"),
    "COCCYX": ("64688005", "Coccyx"),
    "CSPINE": ("122494005", "Structure of cervical vertebral column"),
    "ELBOW": ("16953009", "Elbow joint structure"),
    "EXTREMITY": ("66019005", "Limb structure"),
    "FEMUR": ("71341001", "Femur"),
    "FIBULA": ("87342007", "Fibula"),
    "FINGER": ("7569003", "Finger structure"),
    "FOOT": ("56459004", "Foot structure"),
    "FOREARM": ("14975008", "Forearm structure"),
    "HAND": ("85562004", "Hand structure"),
    "HEAD": ("69536005", "Head structure"),
    "HIP": ("29836001", "Hip region structure"),
    "HUMERUS": ("85050009", "Humerus"),
    "JAW": ("661005", "Jaw region structure"),
    "KNEE": ("72696002", "Knee region structure"),
    "LEG": ("30021000", "Lower leg structure"),
    "LSPINE": ("122496007", "Lumbar spine structure"),
    "MANDIBLE": ("91609006", "Mandible"),
    "NOSE": ("45206002", "Nose"),
    "ORBIT": ("363654007", "Structure of orbit proper"),
    "PATELLA": ("64234005", "Patella"),
    "PELVIS": ("12921003", "Pelvic structure"),
    "RADIUS": ("62413002", "Radius"),
    "RIB": ("113197003", "Rib"),
    "SACRUM": ("54735007", "Sacrum"),
    "SCAPULA": ("79601000", "Scapula"),
    "SHOULDER": ("16982005", "Shoulder region structure"),
    "SKULL": ("89546000", "Skull"),
    "SPINE": ("421060004", "Structure of vertebral column"),
    "STERNUM": ("56873002", "Sternum"),
    "THIGH": ("68367000", "Thigh structure"),
    "THUMB": ("76505004", "Thumb structure"),
    "TIBIA": ("12611008", "Tibia"),
    "TOE": ("29707007", "Toe structure"),
    "TSPINE": ("122495006", "Thoracic spine structure"),
    "ULNA": ("23416004", "Ulna"),
    "WRIST": ("8205005", "Wrist region structure"),
}
"""Body Part Examined (PS3.16 Annex L), where bones are looked at: the SNOMED CT code and its meaning."""


@dataclass(frozen=True)
class Acquisition:
    """How a picture was taken, by the codes of its header; a field without a code is None.

    `body_part` is a term of BODY_PARTS; `laterality` is L, R or B (both); `view` is a View Position;
    `orientation` has the directions that rows and columns run to. `pixel_spacing` is millimetres between rows
    and between columns. `spacing_plane` says where: "calibrated" is in the patient; the "detector" lies
    further from the tube, so that everything is larger on it; or "unstated". `study_uid` is the Study
    Instance UID. It leads back to a patient, so `facts` leaves it out. `geometry` has the numbers of
    model.decode.dicom_geometry.
    """

    body_part: str | None = None
    laterality: str | None = None
    view: str | None = None
    orientation: tuple[str, str] | None = None
    pixel_spacing: tuple[float, float] | None = None
    spacing_plane: str | None = None
    study_uid: str | None = None
    geometry: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """List the known fields, for JSON."""
        known: dict[str, Any] = {}
        if self.body_part:
            code, meaning = BODY_PARTS[self.body_part]
            known["body_part"] = {"term": self.body_part, "snomed": code, "meaning": meaning}
        if self.laterality:
            known["laterality"] = self.laterality
        if self.view:
            known["view"] = self.view
        if self.orientation:
            known["orientation"] = list(self.orientation)
        if self.pixel_spacing:
            known["pixel_spacing"] = list(self.pixel_spacing)
            known["spacing_plane"] = self.spacing_plane
        if self.geometry:
            known["geometry"] = self.geometry
        return known
