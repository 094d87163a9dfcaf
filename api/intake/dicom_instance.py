"""Reads one DICOM instance of a STOW-RS request as far as its class, its UIDs and its manufacturer."""

import io
import re
from enum import IntEnum

from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from api.http.multipart_related import MultipartPart

DICOM = "application/dicom"
_PREAMBLE = 132
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
"""Allows leading zeros, which some systems write and `UID.is_valid` refuses."""


class FailureReason(IntEnum):
    """The reason why an instance was not stored (PS3.18, table I.2-2)."""

    NO_RESOURCES = 0xA700
    WRONG_STUDY = 0xA900
    NOT_UNDERSTOOD = 0xC000
    UNKNOWN_SYNTAX = 0xC122
    UNKNOWN_CLASS = 0x0122
    DUPLICATE = 0x0111


class InstanceRefused(Exception):
    """An instance cannot be stored, for a `reason`."""

    def __init__(self, reason: FailureReason) -> None:
        super().__init__(f"{reason:04X}")
        self.reason = reason


def read_instance(part: MultipartPart) -> tuple[Dataset, bytes]:
    """Read the class and instance UID of a part, and its bytes. Raises InstanceRefused."""
    if part.data is None:
        raise InstanceRefused(FailureReason.NO_RESOURCES)
    data = bytes(part.data)
    if part.media_type != DICOM:
        raise InstanceRefused(FailureReason.NOT_UNDERSTOOD)
    start = _PREAMBLE if data[_PREAMBLE - 4 : _PREAMBLE] == b"DICM" else 0
    named = Dataset()
    try:
        meta = read_dataset(
            io.BytesIO(data[start:]), False, True, stop_when=lambda tag, vr, size: tag.group != 2
        )
        named.ReferencedSOPClassUID = UID(meta.MediaStorageSOPClassUID)
        named.ReferencedSOPInstanceUID = UID(meta.MediaStorageSOPInstanceUID)
        uids = named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID
        whole = all(_UID.fullmatch(uid) and len(uid) <= 64 for uid in uids)
    except Exception:  # pydicom raises nearly anything on damaged files, and quotes them
        whole = False
    if not whole:
        raise InstanceRefused(FailureReason.NOT_UNDERSTOOD)
    return named, data


def is_image(instance: Dataset) -> bool:
    """Return whether the instance is an image. Raises InstanceRefused for an unknown class."""
    sop_class = instance.ReferencedSOPClassUID
    if sop_class.name == sop_class:
        # An unknown class may be an image, so it must not be acknowledged as if it were none.
        raise InstanceRefused(FailureReason.UNKNOWN_CLASS)
    return "Image Storage" in sop_class.name


def read_header(data: bytes) -> Dataset:
    """Read the study and the manufacturer of an instance."""
    tags = ["StudyInstanceUID", "Manufacturer"]
    try:
        return dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=tags, force=True)
    except Exception:  # pydicom raises nearly anything on damaged files, and quotes them
        raise InstanceRefused(FailureReason.NOT_UNDERSTOOD) from None
