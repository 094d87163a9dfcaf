"""Identifies this service to push services by VAPID (RFC 8292), with a key derived from the signing key."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from email.utils import parseaddr

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the group of P-256."""
_LASTS = timedelta(hours=12)


def contact_of(mail_from: str, public_url: str) -> str | None:
    """Return the operator's address for push services, which take `mailto:` or `https:`; None for neither."""
    if sender := parseaddr(mail_from)[1]:
        return f"mailto:{sender}"
    return public_url if public_url.startswith("https://") else None


class Vapid:
    """The key by which a push service knows this service. Another signing key makes another one."""

    def __init__(self, signing_key: str, contact: str = "") -> None:
        """`contact`: as contact_of returns it."""
        # 512 bits, so that the remainder is as good as evenly spread.
        number = int.from_bytes(hmac.digest(signing_key.encode(), b"vapid", hashlib.sha512), "big")
        private = ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._key = ECKey.import_key(pem)
        self._contact = contact
        self.public_key = urlsafe_b64encode(point).rstrip(b"=").decode()
        """What a page gives a browser as `applicationServerKey`."""

    def authorization(self, origin: str, at: datetime) -> str:
        """Return the header Authorization for a push service at this origin."""
        claims = {"aud": origin, "exp": int((at + _LASTS).timestamp()), "sub": self._contact}
        token = jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self._key, algorithms=["ES256"])
        return f"vapid t={token}, k={self.public_key}"
