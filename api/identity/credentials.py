"""Finds the API key in a request."""

from flask import Request

DICOMWEB = "/dicom-web/"


def key_of(request: Request) -> str | None:
    """The key of a request: its Bearer token, or, for DICOMweb alone, the password of HTTP Basic.

    Orthanc's and dcm4che's senders know user name and password. A browser never sends Basic here by itself:
    `WWW-Authenticate` does not offer it, so no page can have one send a key that was typed in before.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip()
    if request.path.startswith(DICOMWEB) and request.authorization and request.authorization.type == "basic":
        return request.authorization.password
    return None
