"""Decides which callback URLs may be called: by form when a job is submitted, by address at every call."""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import idna

_PORTS = frozenset({443, 8443})
_DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_LENGTH = 2048

_UNICAST_IPV6 = ipaddress.ip_network("2000::/3")
"""The IPv6 addresses that are assigned to the public network.

Addresses that map or translate IPv4 lie outside it, except for those in _NOT_PUBLIC.
"""

# No callback may reach these, and `is_global` accepts them in some version of Python.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's host, for DHCP, DNS and secrets
        "192.0.0.0/24",  # IETF protocol assignments
        "192.31.196.0/24",  # AS112, for names of private addresses
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "224.0.0.0/4",  # multicast
        "2001::/23",  # IETF protocol assignments: Teredo, AMT, AS112, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_ISATAP = 0x5EFE
"""Bits 32 to 63 of an IPv6 address that contains an IPv4 address by RFC 5214, without the universal bit."""

_KEPT = "!$%&'()*+,/:;=?@[]~"
"""Characters that are not encoded in path and query, beside letters, digits, `-`, `.` and `_`."""


class CallbackUrlRefused(ValueError):
    """This URL may not be called. The message says why, and which URLs may be."""


@dataclass(frozen=True)
class CallbackTarget:
    """The parts of a callback URL whose form is allowed."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, which all callbacks to one receiver share."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and port as in a URL and in the Host header: without a default port."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in ASCII."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(url: str, exceptions: frozenset[str]) -> CallbackTarget:
    """Return the parts of `url`, with the host by IDNA, and path and query percent-encoded.

    Raises CallbackUrlRefused for a form that may not be called. Hosts in `exceptions` may be called over http
    and on any port, for development.
    """
    if len(url) > MAX_LENGTH or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise CallbackUrlRefused(
            f"callback_url has spaces or control characters, or over {MAX_LENGTH} characters"
        )
    try:
        parts = urlsplit(url)
        host = _ascii(parts.hostname or "")
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), _KEPT)
    except ValueError as error:
        raise CallbackUrlRefused("callback_url is not a URL") from error
    if parts.scheme not in ("http", "https") or not host:
        raise CallbackUrlRefused("callback_url must be an https address such as https://example.org/hook")
    if parts.username is not None or parts.password is not None:
        raise CallbackUrlRefused(
            "callback_url must not hold a user name or password; callbacks are signed instead"
        )
    if host not in exceptions:
        if parts.scheme != "https":
            raise CallbackUrlRefused("callback_url must use https")
        if port not in _PORTS:
            raise CallbackUrlRefused("callback_url must use port 443 or 8443")
    callback = CallbackTarget(parts.scheme, host, port, target)
    if len(callback.url) > MAX_LENGTH:
        raise CallbackUrlRefused(f"callback_url has over {MAX_LENGTH} characters, percent-encoded")
    literal = _literal(host)
    if literal:
        _refuse_unless_public(callback, literal, exceptions)
    return callback


def _ascii(host: str) -> str:
    """Return `host` as in the DNS. Raises ValueError where a label is empty, too long or not allowed."""
    name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    return name.rstrip(".").encode("idna").decode()


def origin_of(url: str) -> str:
    """Return the origin of a URL that was accepted, in the form of `CallbackTarget.origin`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


def resolve(callback: CallbackTarget, exceptions: frozenset[str]) -> list[str]:
    """Return the addresses of the callback's host to connect to, the preferred one first.

    All addresses of the name must be public: one that is not public refuses all.
    Raises CallbackUrlRefused, or OSError where the name does not resolve.
    """
    found = socket.getaddrinfo(callback.host, callback.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        _refuse_unless_public(callback, address, exceptions)
    return addresses


def _literal(host: str) -> str | None:
    """Return `host` as an address if it is one, in any spelling of the resolver (octal, decimal)."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0])


def _refuse_unless_public(callback: CallbackTarget, address: str, exceptions: frozenset[str]) -> None:
    if callback.host in exceptions:
        return
    ip = ipaddress.ip_address(address.partition("%")[0])
    if not ip.is_global or any(ip in network for network in _NOT_PUBLIC) or not _is_unicast(ip):
        raise CallbackUrlRefused("callback_url must lead to a public address")


def _is_unicast(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether `ip` is of IPv4, or of public unicast IPv6 without an IPv4 address in it."""
    return ip.version == 4 or (ip in _UNICAST_IPV6 and int(ip) >> 32 & 0xFDFF_FFFF != _ISATAP)
