"""Signs reports with a key of the service's own, and publishes the key."""

import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws
from joserfc.jwk import OKPKey

from jobs.reading.report import canonical

_ALGORITHM = "Ed25519"


class Signer:
    """Attests who signed which report when, by Ed25519. It is no qualified electronic signature."""

    def __init__(self, signing_key: str) -> None:
        seed = hmac.digest(signing_key.encode(), b"readings", hashlib.sha256)
        private = Ed25519PrivateKey.from_private_bytes(seed)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._key = OKPKey.import_key(pem)
        self._key.ensure_kid()

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a compact JWS, in canonical JSON."""
        header = {"alg": _ALGORITHM, "kid": self._key.kid}
        return jws.serialize_compact(header, canonical(claims), self._key, algorithms=[_ALGORITHM])

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set."""
        return {"keys": [self._key.as_dict(private=False, use="sig", alg=_ALGORITHM)]}


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()
