"""Which callback URLs may be called: judged by form when a job is submitted, by address at every call."""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import idna

_PORTS = frozenset({443, 8443})
_DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_LENGTH = 2048

_UNICAST_IPV6 = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is assigned for the public network; what maps or translates IPv4 lies outside, but for
what _NOT_PUBLIC has."""

# What `is_global` lets through in some version of Python, and no callback may reach.
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
"""Bits 32 to 63 of an IPv6 address that holds an IPv4 address by RFC 5214, but for the bit of uniqueness."""

_KEPT = "!$%&'()*+,/:;=?@[]~"
"""What stays as it is in path and query, beside letters, digits, `-`, `.` and `_`."""


class CallbackUrlRefused(ValueError):
    """This URL may not be called; the message says why and what would be."""


@dataclass(frozen=True)
class CallbackTarget:
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

    @property
    def authority(self) -> str:
        """Host and port as a URL and the Host header have them: a default port is left out."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in ASCII."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(url: str, exceptions: frozenset[str]) -> CallbackTarget:
    """The parts of `url`, its host by IDNA and its path and query percent-encoded.

    Raises CallbackUrlRefused for any form that may not be called. Hosts in `exceptions` may be called over
    http and on any port: for development.
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
    """`host` as the DNS has it. Raises ValueError where a label is empty, too long or not allowed."""
    name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    return name.rstrip(".").encode("idna").decode()


def origin_of(url: str) -> str:
    """The origin of a URL that was accepted, as `CallbackTarget.origin` has it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


def resolve(callback: CallbackTarget, exceptions: frozenset[str]) -> list[str]:
    """The addresses of the callback's host, to connect to as they are, the preferred one first.

    Every address that the name has must be public: one good and one bad address are refused.
    Raises CallbackUrlRefused, or OSError where the name does not resolve.
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


def _refuse_unless_public(callback: CallbackTarget, address: str, exceptions: frozenset[str]) -> None:
    if callback.host in exceptions:
        return
    ip = ipaddress.ip_address(address.partition("%")[0])
    if not ip.is_global or any(ip in network for network in _NOT_PUBLIC) or not _is_unicast(ip):
        raise CallbackUrlRefused("callback_url must lead to a public address")


def _is_unicast(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether `ip` is of IPv4, or an address of IPv6's public unicast that holds none of IPv4."""
    return ip.version == 4 or (ip in _UNICAST_IPV6 and int(ip) >> 32 & 0xFDFF_FFFF != _ISATAP)
