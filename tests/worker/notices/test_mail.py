"""Sends mail to a real SMTP server: with and without TLS, with a login, and to one that never ends."""

import smtplib
import socket
import threading
from email.message import EmailMessage

import pytest

from jobs.settings import Settings, SettingsError
from tests.conftest import SIGNING_KEY
from tests.worker.notices.conftest import PASSWORD, mail_server
from worker.notices.mail import MailServer, NoTls

LOGIN = "osteo:a%20password%20%26%20a%20secret@"
TO = "ada@clinic.example"


def a_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "osteo@osteo.example", TO, "A reading waits."
    mail.set_content("text")
    return mail


def send(url: str, seconds: float = 10) -> None:
    MailServer.of(url).send(a_mail(), TO, seconds)


def test_a_server_of_this_machine_gets_mail_without_tls_and_login(inbox):
    with mail_server(inbox) as address:
        send(f"smtp://{address}")
    assert [(to, mail["Subject"]) for to, mail in inbox.mails] == [(TO, "A reading waits.")]


def test_starttls_comes_before_the_login_and_the_message(inbox, tls):
    with mail_server(inbox, "0.0.0.0", tls_context=tls, require_starttls=True, auth_required=True) as address:
        send(f"smtp://{LOGIN}{address}")
    assert inbox.logins == [("osteo", PASSWORD)]
    assert len(inbox.mails) == 1


def test_a_server_elsewhere_without_starttls_gets_no_login_and_no_mail(inbox):
    with mail_server(inbox, "0.0.0.0", auth_require_tls=False) as address, pytest.raises(NoTls):
        send(f"smtp://{LOGIN}{address}")
    assert (inbox.logins, inbox.mails) == ([], [])


def test_smtps_is_tls_from_the_first_byte_and_takes_a_login(inbox, tls):
    # A server that speaks TLS already need not be asked for STARTTLS.
    with mail_server(inbox, "0.0.0.0", ssl_context=tls, auth_require_tls=False) as address:
        send(f"smtps://{LOGIN}{address}")
    assert inbox.logins == [("osteo", PASSWORD)]
    assert len(inbox.mails) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_is_not_trusted_gets_no_mail(inbox, tls, monkeypatch, scheme):
    monkeypatch.delenv("SSL_CERT_FILE")
    how = {"ssl_context": tls} if scheme == "smtps" else {"tls_context": tls}
    with mail_server(inbox, "0.0.0.0", **how) as address, pytest.raises(OSError, match="certificate"):
        send(f"{scheme}://{address}")
    assert inbox.mails == []


def test_a_server_that_sends_a_byte_at_a_time_is_cut_off():
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"2")
                    except OSError:
                        return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(f"smtp://127.0.0.1:{server.getsockname()[1]}", 0.5)
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "url", ["http://mail.example", "smtp://", "smtp://mail.example:no", "mail.example", "smtp://h/path"]
)
def test_a_wrong_address_of_a_server_is_named_without_its_password(url):
    given = {"OSTEO_SIGNING_KEY": SIGNING_KEY, "OSTEO_MAIL_FROM": "a@b.example"}
    secret = url.replace("://", "://osteo:secret@")
    with pytest.raises(SettingsError, match="OSTEO_SMTP_URL") as refused:
        Settings.from_environment(given | {"OSTEO_SMTP_URL": secret})
    assert "secret" not in str(refused.value)


def test_mail_needs_a_sender_and_the_password_is_not_shown():
    given = {
        "OSTEO_SIGNING_KEY": SIGNING_KEY,
        "OSTEO_SMTP_URL": "smtps://osteo:secret@mail.example",  # pragma: allowlist secret
    }
    with pytest.raises(SettingsError, match="OSTEO_MAIL_FROM"):
        Settings.from_environment(given)
    with pytest.raises(SettingsError, match="OSTEO_MAIL_FROM"):
        Settings.from_environment(given | {"OSTEO_MAIL_FROM": "Osteo"})
    settings = Settings.from_environment(given | {"OSTEO_MAIL_FROM": "Osteo <osteo@clinic.example>"})
    assert settings.mail_from == "Osteo <osteo@clinic.example>"
    assert settings.smtp_url
    server = MailServer.of(settings.smtp_url)
    assert "secret" not in f"{settings!r} {server!r}"
    assert (server.host, server.port, server.tls, server.login) == (
        "mail.example",
        465,
        True,
        ("osteo", "secret"),
    )
