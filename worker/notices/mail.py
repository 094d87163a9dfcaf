"""Sends one e-mail by SMTP, within a limited time, and never without TLS but on this machine."""

import ipaddress
import os
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cache
from threading import Timer
from typing import Any
from urllib.parse import unquote, urlsplit


class NoTls(Exception):
    """The server offers no STARTTLS. Neither password nor message was sent."""


@dataclass(frozen=True)
class MailServer:
    """The server that takes our mail. `login` is user and password."""

    host: str
    port: int
    tls: bool
    """Whether TLS comes first (smtps). Else STARTTLS follows; only a server of this machine may lack it."""
    login: tuple[str, str] | None = field(repr=False)

    @classmethod
    def of(cls, url: str) -> "MailServer":
        """Return the server of an address that jobs.settings has accepted."""
        parts = urlsplit(url)
        tls = parts.scheme == "smtps"
        login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return cls(parts.hostname or "", parts.port or (465 if tls else 587), tls, login)

    def send(self, message: EmailMessage, to: str, seconds: float) -> None:
        """Send a message to one address, within `seconds` once the name of the server is known.

        Raises OSError, which smtplib's errors are, and NoTls.
        """
        with _limited(self._connection(seconds), seconds) as connection:
            connection.connect(self.host, self.port)
            if not self.tls:
                connection.ehlo()
                if connection.has_extn("starttls"):
                    connection.starttls(context=_tls())
                elif not _is_this_machine(self.host):
                    raise NoTls
            if self.login:
                connection.login(*self.login)
            connection.send_message(message, to_addrs=[to])
            with suppress(OSError):  # The server has the message.
                connection.quit()

    def _connection(self, seconds: float) -> "_Smtp":
        return (_SmtpTls if self.tls else _Smtp)(self.host, seconds)


class _Smtp(smtplib.SMTP):
    """An SMTP connection whose socket can be cut off by another thread."""

    handle: socket.socket | None = None

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(timeout=seconds)
        self._host = host  # whose certificate STARTTLS demands; smtplib sets it where it connects at once

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        plain = socket.create_connection((host, port), timeout)
        # A second handle, because TLS takes over the first.
        self.handle = socket.socket(fileno=os.dup(plain.fileno()))
        return plain

    def cut_off(self) -> None:
        """End the connection, whatever a thread waits for."""
        with suppress(OSError, AttributeError):
            self.handle.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # None: not connected yet

    def close(self) -> None:
        """Close the connection."""
        super().close()
        if self.handle:
            self.handle.close()


class _SmtpTls(_Smtp):
    """The same, by TLS from the first byte."""

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        return _tls().wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


@contextmanager
def _limited(connection: _Smtp, seconds: float) -> Iterator[_Smtp]:
    """Cut the connection off after `seconds`: a socket's own timeout starts anew with every byte."""
    timer = Timer(seconds, connection.cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield connection
    finally:
        timer.cancel()
        connection.close()


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
