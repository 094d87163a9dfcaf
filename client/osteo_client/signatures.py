"""Verifies the signature of a report. It needs joserfc: `pip install 'osteo-client[signatures]'`."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from osteo_client.errors import SignatureRejected
from osteo_client.reading import Reading


def verify_report(
    reading: Reading, key_set: Mapping[str, Any], image_sha256: str, number: int | None = None
) -> dict[str, Any]:
    """Verify a signed version of the reading's report, the last unless `number` is given.

    `key_set`: the JSON Web Key Set of the service, from a source that you trust. `image_sha256`: that of the
    image that was submitted. Returns the claims that were signed: who signed when, and the digest of the
    model. Raises SignatureRejected where the signature is of another key, report, reading or image.
    """
    chosen = [one for one in reading.reports if number in (None, one.number)]
    if not chosen:
        raise SignatureRejected(f"{reading.id} has no such signed report")
    signed = chosen[-1]
    try:
        keys = KeySet.import_key_set({"keys": [*key_set["keys"]]})
        verified = jws.deserialize_compact(signed.jws, keys, ["Ed25519", "EdDSA"])
        claims: dict[str, Any] = json.loads(verified.payload)
    except (JoseError, KeyError, ValueError) as error:
        raise SignatureRejected(f"the signature is of none of these keys: {error}") from error
    expected = {
        "reading": reading.id,
        "job": reading.job,
        "number": signed.number,
        "report_sha256": _digest_of(signed.document["report"]),
        "image_sha256": image_sha256,
        "at": signed.document["at"],
        "reader_name": signed.reader_name,
    }
    for name, value in expected.items():
        if claims.get(name) != value:
            raise SignatureRejected(f"the signature is over another `{name}` than that of this reading")
    return claims


def _digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's JSON with sorted members and without spaces, in UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
