"""Asks an OpenID Connect provider who a person is: where to send them, and whom an ID token names."""

import logging
import ssl
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebToken
from authlib.oidc.core import CodeIDToken
from requests import RequestException

from api.identity.oidc_flows import Flow
from jobs.settings import Settings, SettingsError, https_url, is_loopback

log = logging.getLogger(__name__)

CALLBACK = "/read/sign-in/oidc/callback"
"""Where the provider sends the person back to, below OSTEO_PUBLIC_URL."""
SECONDS = 5.0
"""Time in which the provider has to take a connection, and then to send each part of an answer."""
LEEWAY = 60
"""Seconds by which the provider's clock may differ."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key of which the provider publishes the public half; no other counts."""


class ProviderAway(Exception):
    """The provider does not answer, or its answer is none of OpenID Connect."""


class PersonRefused(Exception):
    """The provider does not take the code, or its ID token is not valid for this sign-in."""


@dataclass(frozen=True)
class Person:
    """Who signed in at the provider: its `sub`, and the e-mail if the provider has verified it."""

    sub: str
    email: str | None


class Provider:
    """The provider that the settings name. Its description and keys are read at each sign-in.

    No request follows a redirect, and none takes a proxy or a password from the environment. The authorities
    are those of the operating system (SSL_CERT_FILE names others), without these those of certifi.
    """

    def __init__(self, issuer: str, client_id: str, client_secret: str, public_url: str) -> None:
        self.issuer = issuer
        self._client_id, self._client_secret = client_id, client_secret
        self._redirect_uri = public_url + CALLBACK
        paths = ssl.get_default_verify_paths()
        self._authorities = paths.cafile or paths.capath or True

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Make it of the settings; None where no provider is set.

        Raises SettingsError where a part is missing.
        """
        issuer, client_id, secret = settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret
        if not (issuer or client_id or secret):
            return None
        if not (issuer and client_id and secret and settings.public_url):
            raise SettingsError(
                "OSTEO_OIDC_ISSUER, OSTEO_OIDC_CLIENT_ID and OSTEO_OIDC_CLIENT_SECRET are set together,"
                " with OSTEO_PUBLIC_URL, or none of the three"
            )
        return cls(issuer, client_id, secret, settings.public_url)

    def address(self, flow: Flow) -> str:
        """Return the address at the provider where the person signs in. Raises ProviderAway."""
        with self._session() as session:
            endpoint = self._endpoint(self._description(session), "authorization_endpoint")
            address, _ = session.create_authorization_url(
                endpoint, state=flow.state, nonce=flow.nonce, code_verifier=flow.verifier
            )
            return str(address)

    def person(self, flow: Flow, code: str) -> Person:
        """Exchange the code that the provider sent the person back with for who they are.

        Raises ProviderAway and PersonRefused.
        """
        with self._session() as session:
            description = self._description(session)
            methods = description.get("token_endpoint_auth_methods_supported")
            try:
                basic = methods is None or "client_secret_basic" in methods
                token = session.fetch_token(
                    self._endpoint(description, "token_endpoint"),
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=flow.verifier,
                    auth=None if basic else session.client_auth("client_secret_post"),
                    allow_redirects=False,
                )
            except OAuthError as error:
                raise PersonRefused(f"the provider refused the code: {error.error}") from error
            except (RequestException, ValueError, TypeError) as error:
                raise ProviderAway(f"no token: {type(error).__name__}") from error
            keys = self._get(session, self._endpoint(description, "jwks_uri"))
        return self._verified(token, keys, flow)

    def _verified(self, token: dict[str, Any], keys: dict[str, Any], flow: Flow) -> Person:
        try:
            claims = JsonWebToken(ALGORITHMS).decode(
                token["id_token"],
                keys,
                claims_cls=CodeIDToken,
                claims_options={"iss": {"value": self.issuer}, "aud": {"value": self._client_id}},
                claims_params={
                    "client_id": self._client_id,
                    "nonce": flow.nonce,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY)
        except (AuthlibBaseError, ValueError, KeyError, TypeError) as error:
            raise PersonRefused(f"the ID token is not valid: {type(error).__name__} {error}") from error
        sub, email = claims["sub"], claims.get("email")
        if not isinstance(sub, str) or not sub:
            raise PersonRefused("the ID token names no one")
        verified = claims.get("email_verified") is True and isinstance(email, str)
        return Person(sub, email if verified else None)

    def _description(self, session: OAuth2Session) -> dict[str, Any]:
        described = self._get(session, f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if described.get("issuer") != self.issuer:
            raise ProviderAway("the provider has another name than OSTEO_OIDC_ISSUER")
        return described

    def _endpoint(self, description: dict[str, Any], name: str) -> str:
        """Return an address of the description: https, and at loopback only where the issuer is."""
        try:
            url = https_url(str(description[name]))
            if is_loopback(urlsplit(url).hostname) and not is_loopback(urlsplit(self.issuer).hostname):
                raise ValueError(url)
        except (KeyError, ValueError) as error:
            raise ProviderAway(f"the provider's {name} is missing, or no https URL") from error
        return url

    def _get(self, session: OAuth2Session, url: str) -> dict[str, Any]:
        try:
            answer = session.get(url, withhold_token=True, allow_redirects=False)
            document = answer.json() if answer.status_code == 200 else None
        except RequestException as error:
            raise ProviderAway(f"{url}: {type(error).__name__}") from error
        if not isinstance(document, dict):
            raise ProviderAway(f"{url}: status {answer.status_code}, or no JSON object")
        return document

    def _session(self) -> OAuth2Session:
        return OAuth2Session(
            self._client_id,
            self._client_secret,
            scope="openid email",
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            default_timeout=SECONDS,
            trust_env=False,
            verify=self._authorities,
        )
