"""Names the states of a reading, and the legal moves between them."""

from enum import StrEnum


class ReadingState(StrEnum):
    """The state of a reading."""

    REQUESTED = "requested"
    """It waits for a reader."""
    CLAIMED = "claimed"
    """A reader works on it."""
    SIGNED = "signed"
    """Its report is signed."""
    AMENDED = "amended"
    """A later version of its report is signed. The earlier ones stay."""
    RETURNED = "returned"
    """Its reader gave it back to the client, with a reason. Final."""
    CANCELED = "canceled"
    """Its client canceled it or its job, or no reader can see the image. Final."""
    EXPIRED = "expired"
    """No reader signed it in time. Final."""

    @property
    def open(self) -> bool:
        """Whether a reader has still to work on it."""
        return self in (ReadingState.REQUESTED, ReadingState.CLAIMED)


class CancelReason(StrEnum):
    """Why a reading was canceled."""

    CLIENT = "client"
    """Its client canceled it."""
    JOB_CANCELED = "job_canceled"
    """Its client canceled the job."""
    JOB_DELETED = "job_deleted"
    """The job was deleted, with the radiograph."""
    IMAGE_UNREADABLE = "image_unreadable"
    """The image does not decode: no reader can see it."""


class Mode(StrEnum):
    """What a reader sees before the finding is committed."""

    BLIND = "blind"
    """Nothing of the model's answer."""
    ASSISTED = "assisted"
    """The model's answer."""


class Wish(StrEnum):
    """When a client wants a job to be read by a person."""

    NONE = "none"
    REQUESTED = "requested"
    """At once, before the model answers."""
    IF_INDETERMINATE = "if_indeterminate"
    """Where the probability lies between the two operating points."""
    IF_POSITIVE = "if_positive"
    """Where the model finds a fracture, or is not sure."""
    SAMPLE = "sample"
    """A share of the jobs, which the operator sets for the client."""


MOVES: dict[ReadingState, frozenset[ReadingState]] = {
    ReadingState.REQUESTED: frozenset({ReadingState.CLAIMED, ReadingState.CANCELED, ReadingState.EXPIRED}),
    ReadingState.CLAIMED: frozenset(
        {
            ReadingState.REQUESTED,
            ReadingState.SIGNED,
            ReadingState.RETURNED,
            ReadingState.CANCELED,
            ReadingState.EXPIRED,
        }
    ),
    ReadingState.SIGNED: frozenset({ReadingState.AMENDED}),
    ReadingState.AMENDED: frozenset({ReadingState.AMENDED}),
    ReadingState.RETURNED: frozenset(),
    ReadingState.CANCELED: frozenset(),
    ReadingState.EXPIRED: frozenset(),
}
