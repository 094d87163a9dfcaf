"""Which callback URLs may be called: judged by form when a job is submitted, by address at every call."""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = frozenset({443, 8443})
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_LENGTH = 2048

# What `is_global` of Python 3.11 lets through, or may, and no callback may reach.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",
        "224.0.0.0/4",
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
        "ff00::/8",
    )
)


class CallbackRefused(ValueError):
    """This URL may not be called; the message says why and what would be."""


@dataclass(frozen=True)
class Callback:
    """A callback URL in its parts, of a form that may be called."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: what all callbacks to one receiver share."""
        return f"{self.scheme}://{self.host}:{self.port}"


def parse(url: str, exceptions: frozenset[str]) -> Callback:
    """The parts of `url`. Raises CallbackRefused for any form that may not be called.

    Hosts in `exceptions` may be called over http and on any port: for development.
    """
    if len(url) > MAX_LENGTH or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise CallbackRefused(
            f"callback_url has spaces or control characters, or over {MAX_LENGTH} characters"
        )
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise CallbackRefused("callback_url is not a URL") from error
    if parts.scheme not in ("http", "https") or not host:
        raise CallbackRefused("callback_url must be an https address such as https://example.org/hook")
    if parts.username is not None or parts.password is not None:
        raise CallbackRefused(
            "callback_url must not hold a user name or password; callbacks are signed instead"
        )
    if host not in exceptions:
        if parts.scheme != "https":
            raise CallbackRefused("callback_url must use https")
        if port not in PORTS:
            raise CallbackRefused("callback_url must use port 443 or 8443")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    callback = Callback(parts.scheme, host, port, target)
    literal = _literal(host)
    if literal:
        _refuse_unless_public(callback, literal, exceptions)
    return callback


def origin_of(url: str) -> str:
    """The origin of a URL that was accepted, as `Callback.origin` has it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def resolve(callback: Callback, exceptions: frozenset[str]) -> list[str]:
    """The addresses of the callback's host, to connect to as they are, the preferred one first.

    Every address that the name has must be public: one good and one bad address are refused.
    Raises CallbackRefused, or OSError where the name does not resolve.
    """
    found = socket.getaddrinfo(callback.host, callback.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        _refuse_unless_public(callback, address, exceptions)
    return addresses


def _literal(host: str) -> str | None:
    """`host` as an address where it is one, in any spelling that the resolver accepts (octal, decimal)."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0])


def _refuse_unless_public(callback: Callback, address: str, exceptions: frozenset[str]) -> None:
    if callback.host in exceptions:
        return
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if not ip.is_global or any(ip.version == net.version and ip in net for net in NOT_PUBLIC):
        raise CallbackRefused("callback_url must lead to a public address")
