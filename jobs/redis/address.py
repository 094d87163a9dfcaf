"""Reads the address of Redis, REDIS_URL: of one server (redis://, rediss:// with TLS), or of its sentinels.

`sentinel://[user:password@]host[:port][,host[:port]...][/db]?master=NAME[&sentinel_password=...]`: user and
password are those of Redis. `sentinels://` is the same with TLS to the sentinels and to Redis, and may name
files as `rediss://` does: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`. The query has no other options.
"""

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from redis.credentials import UsernamePasswordCredentialProvider

_SENTINEL_PORT = 26379
_OPTIONS = {"master", "sentinel_username", "sentinel_password"}
_TLS_FILES = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


@dataclass(frozen=True)
class Sentinels:
    """The sentinels that know which server is the master of the name `master`."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    db: int
    login: dict[str, str]
    """User and password of Redis, if given."""
    own_login: dict[str, str]
    """User and password of the sentinels, if given."""
    tls: dict[str, str]
    """How redis-py speaks TLS to the sentinels and to Redis. Empty without TLS."""

    @property
    def own_options(self) -> dict[str, Any]:
        """Options of redis-py for the sentinels, but their login. The next sentinel is asked at once."""
        bounded = {"socket_timeout": 2, "socket_connect_timeout": 2, "retry": None}
        return {**bounded, **({"ssl": True} if self.tls else {}), **self.tls}

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Read a sentinel:// or sentinels:// address; return None for any other.

        Raises ValueError for a malformed one.
        """
        if not url.startswith(("sentinel://", "sentinels://")):
            return None
        parts = urlsplit(url)
        with_tls = parts.scheme == "sentinels"
        user_and_password, _, hosts = parts.netloc.rpartition("@")
        user, _, password = user_and_password.partition(":")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = query.keys() - _OPTIONS - (_TLS_FILES if with_tls else set())
        if unknown or not hosts or "master" not in query:
            raise ValueError("an address of sentinels has hosts, `?master=NAME`, and no unknown option")
        login = {"username": unquote(user), "password": unquote(password)}
        own_login = {name: query.get(f"sentinel_{name}", "") for name in ("username", "password")}
        files = {name: value for name, value in query.items() if name in _TLS_FILES}
        return cls(
            hosts=tuple(_host_and_port(text) for text in hosts.split(",")),
            master=query["master"],
            db=int(parts.path.strip("/") or 0),
            login={name: value for name, value in login.items() if value},
            own_login={name: value for name, value in own_login.items() if value},
            tls={"ssl_cert_reqs": "required", **files} if with_tls else {},
        )


class _HiddenLogin(UsernamePasswordCredentialProvider):
    """A login that workers do not tell: they answer `inspect stats` of Celery with all options."""

    def __json__(self) -> str:
        return "**"


def broker_of(url: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return the address, the transport options and the TLS by which Celery reaches the same Redis.

    The TLS is empty where there is none, or where the address says it.
    """
    sentinels = Sentinels.of(url)
    if sentinels is None:
        if url.startswith("rediss:") and "ssl_cert_reqs=" not in url:
            # Without this option kombu verifies no certificate.
            url += ("&" if urlsplit(url).query else "?") + "ssl_cert_reqs=required"
        return url, {}, {}
    names = (quote(sentinels.login.get(name, ""), safe="") for name in ("username", "password"))
    login = ":".join(names) + "@" if sentinels.login else ""
    urls = [f"sentinel://{login}{host}:{port}/{sentinels.db}" for host, port in sentinels.hosts]
    own = sentinels.own_options
    if sentinels.own_login:
        own["credential_provider"] = _HiddenLogin(**sentinels.own_login)
    return ";".join(urls), {"master_name": sentinels.master, "sentinel_kwargs": own}, sentinels.tls


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    return (host, int(port)) if colon else (text, _SENTINEL_PORT)
