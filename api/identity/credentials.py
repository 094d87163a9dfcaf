"""Finds the API key in a request."""

from flask import Request

DICOMWEB = "/dicom-web/"


def key_of(request: Request) -> str | None:
    """Return the key of a request: its Bearer token, or, for DICOMweb alone, the password of HTTP Basic.

    The senders of Orthanc and dcm4che support user name and password only. A browser never sends Basic by
    itself, because `WWW-Authenticate` does not offer it. So no page can make it send a key.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip()
    if request.path.startswith(DICOMWEB) and request.authorization and request.authorization.type == "basic":
        return request.authorization.password
    return None
