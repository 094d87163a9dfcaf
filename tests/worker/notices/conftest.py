"""Gives the tests of notices a mail server, a push service that decrypts, readers and a reading."""

import socket
import ssl
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import http_ece
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from jobs.reading.notices import NoticeIndex
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.readers import Readers
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings
from jobs.record.job import now
from jobs.store.ledger import Ledger
from jobs.web_push.subscriptions import PushSubscription, from_base64url
from jobs.web_push.vapid import Vapid
from tests.conftest import SIGNING_KEY, a_job, await_that
from tests.worker.conftest import Receiver
from worker.notices.mail import MailServer
from worker.notices.notify import NoticeContext, notify
from worker.notices.outbox import Outbox

PASSWORD = "a password & a secret"  # pragma: allowlist secret
POLICY = ReadingPolicy(groups=("bones",))


class Inbox:
    """The handler of a real SMTP server: it keeps what arrives."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.refuses: set[str] = set()
        self.meanwhile: Callable[[], object] = lambda: None
        self.logins: list[tuple[str, str]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuses:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.meanwhile()
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.extend((to, message) for to in envelope.rcpt_tos)  # type: ignore[misc]
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.logins[-1] == ("osteo", PASSWORD))


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@contextmanager
def mail_server(inbox: Inbox, host: str = "127.0.0.1", **settings: Any) -> Iterator[str]:
    """A real SMTP server at a port of its own. Yields `host:port`."""
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname=host, port=port, authenticator=inbox.login, **settings)
    controller.start()
    try:
        yield f"{host}:{port}"
    finally:
        controller.stop()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The TLS of a server called localhost or 0.0.0.0, which this process trusts."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:0.0.0.0,IP:127.0.0.1"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x"]
    files = ["-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *files], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr("worker.notices.mail._tls", ssl.create_default_context)  # Read anew.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class Browser:
    """A browser that subscribed at the push service `receiver`: it alone can decrypt what arrives there."""

    def __init__(self, receiver: Receiver, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._receiver = receiver
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self._auth = b"0123456789abcdef"
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.subscription = PushSubscription(receiver.url, _base64url(point), _base64url(self._auth))

    def messages(self) -> list[str]:
        """What it is sent, decrypted by RFC 8291."""
        return [
            http_ece.decrypt(body, private_key=self._key, auth_secret=self._auth).decode()
            for _, body in self._receiver.received
        ]


def claims_of(headers: dict[str, str]) -> dict[str, Any]:
    """The claims of a VAPID header, by the key that the subscription was made with."""
    scheme, _, parts = headers["authorization"].partition(" ")
    given = dict(part.strip().split("=", 1) for part in parts.split(","))
    assert scheme == "vapid"
    assert given["k"] == Vapid(SIGNING_KEY).public_key
    point = from_base64url(given["k"])
    x, y = _base64url(point[1:33]), _base64url(point[33:])
    key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    return jwt.decode(given["t"], key, algorithms=["ES256"]).claims


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def notices(settings, ledger: Ledger) -> NoticeContext:
    Policies(ledger.records).put("clinic", POLICY)
    return NoticeContext.of(replace(settings, mail_from="Osteo <osteo@osteo.example>"), ledger)


@pytest.fixture
def mailing(notices: NoticeContext, inbox: Inbox) -> Iterator[NoticeContext]:
    """Notices that go to `inbox`."""
    with mail_server(inbox) as address:
        yield replace(notices, mail_server=MailServer.of(f"smtp://{address}"))


def a_reader(ledger: Ledger, name: str = "ada", email: bool = True, **more: Any) -> str:
    """Store a reader of the group that reads for the client. Returns the id."""
    address = f"{name}@clinic.example" if email else None
    return Readers(ledger.records).create(name, frozenset({"bones"}), None, address, **more)[1].id


def a_reading(ledger: Ledger, groups: tuple[str, ...] = POLICY.groups, **wishes: Any) -> Reading:
    job = a_job(reference="patient-4711", metadata={"name": "Erika Mustermann"})
    ledger.accept(job, b"image")
    return Readings(ledger).request(
        job, replace(POLICY, groups=groups), question="Fracture of Erika's wrist?", **wishes
    )


def tell(context: NoticeContext, at: Any = None, outbox: Outbox | None = None) -> Outbox:
    """Make one round at this time, two seconds from now unless given, and wait until its notices are sent."""
    outbox = outbox or Outbox(NoticeIndex(context.ledger.objects))
    # The index goes by whole seconds.
    notify(at or now() + timedelta(seconds=2), context, outbox)
    await_that(outbox.idle)
    return outbox
