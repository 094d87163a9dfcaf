"""Signs reports with a key of the service's own, and publishes the key."""

import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws
from joserfc.jwk import OKPKey

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.totp import CodeRefused, Codes
from jobs.reading.reader import Reader
from jobs.reading.readers import CodesLocked
from jobs.reading.reading import Reading
from jobs.reading.report import canonical
from jobs.record.errors import NotStored
from jobs.record.job import Job, moment_text, now
from jobs.store.objects import Objects

_KEYS = "reading-keys/"
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

    @property
    def kid(self) -> str:
        """The id of the key."""
        return str(self._key.kid)

    def public_key(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key."""
        return dict(self._key.as_dict(private=False, use="sig", alg=_ALGORITHM))


class Signatures:
    """Signs reports in the names of readers, who confirm each with a one-time code."""

    def __init__(self, codes: Codes, signer: Signer, objects: Objects) -> None:
        self._codes = codes
        self.signer = signer
        self._objects = objects
        self._kept = False

    def sign(
        self,
        reading: Reading,
        job: Job,
        reader: Reader,
        report: dict[str, Any],
        code: str,
        reason: str | None,
    ) -> dict[str, Any]:
        """Return the next signed version of a reading's report: see `Reading.reports`.

        Raises Problem 403 for a code that is wrong, or was used.
        """
        step, at, number = self._take(code, reader), now(), len(reading.reports) + 1
        version = {"number": number, "at": moment_text(at), "reader": reader.id, "reader_name": reader.name}
        claims = version | {
            "reading": reading.id,
            "job": job.id,
            "report_sha256": digest_of(report),
            "image_sha256": job.image.sha256,
            "model_sha256": job.result["model"]["sha256"] if job.result else None,
            "reason": reason,
            "committed_sha256": digest_of(reading.committed),
            "arbitrates": reading.arbitrates,
            "previous_sha256": _digest(reading.reports[-1]["jws"]) if reading.reports else None,
            "totp_step": step,
        }
        self._keep_key()
        return version | {"report": report, "reason": reason, "jws": self.signer.sign(claims)}

    def _keep_key(self) -> None:
        """Store the public key under its id: signatures outlive a replacement of the signing key."""
        if not self._kept:
            self._objects.put(f"{_KEYS}{self.signer.kid}", canonical(self.signer.public_key()))
            self._kept = True

    def key_set(self) -> dict[str, Any]:
        """Return the public keys of all signatures as a JSON Web Key Set, the present one first."""
        keys = {self.signer.kid: self.signer.public_key()}
        for name in self._objects.keys(_KEYS):
            with suppress(NotStored):
                keys.setdefault(name.removeprefix(_KEYS), json.loads(self._objects.get(name)))
        return {"keys": list(keys.values())}

    def _take(self, code: str, reader: Reader) -> int:
        try:
            return self._codes.check(reader.id, code)
        except CodeRefused as refused:
            raise Problem(Slug.CODE_REFUSED, str(refused)) from refused
        except CodesLocked as locked:
            seconds = max(1, round((locked.until - now()).total_seconds()))
            detail = "Too many wrong codes were sent. Wait, then send the present one."
            raise Problem(Slug.CODE_REFUSED, detail, retry_after=seconds) from locked


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()
