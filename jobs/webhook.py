"""A client's webhook secret, derived so that it need not be stored."""

import base64
import hashlib
import hmac


def webhook_secret(signing_key: str, client: str) -> str:
    """The secret, in the form of Standard Webhooks (`whsec_` and base64), that signs `client`'s callbacks."""
    digest = hmac.new(signing_key.encode(), f"webhook:{client}".encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"
