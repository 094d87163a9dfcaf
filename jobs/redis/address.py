"""The address of Redis, REDIS_URL: of one server (redis://, rediss:// with TLS), or of its sentinels.

`sentinel://[user:password@]host[:port][,host[:port]...][/db]?master=NAME[&sentinel_password=...]`: user and
password are those of Redis. Only master and the passwords of sentinels are read of its query.
"""

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

_SENTINEL_PORT = 26379


@dataclass(frozen=True)
class Sentinels:
    """Who knows which server is the master of the name `master`."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    db: int
    login: dict[str, str]
    """User and password of Redis, as far as they are given."""
    own_login: dict[str, str]
    """Those of the sentinels."""

    @classmethod
    def of(cls, url: str) -> Self | None:
        """What a sentinel:// address says; None for another one. Raises ValueError for a malformed one."""
        if not url.startswith("sentinel://"):
            return None
        parts = urlsplit(url)
        user_and_password, _, hosts = parts.netloc.rpartition("@")
        user, _, password = user_and_password.partition(":")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = query.keys() - {"master", "sentinel_username", "sentinel_password"}
        if unknown or not hosts or "master" not in query:
            raise ValueError("a sentinel:// address has hosts, `?master=NAME`, and no other option")
        login = {"username": unquote(user), "password": unquote(password)}
        own_login = {name: query.get(f"sentinel_{name}", "") for name in ("username", "password")}
        return cls(
            hosts=tuple(_host_and_port(text) for text in hosts.split(",")),
            master=query["master"],
            db=int(parts.path.strip("/") or 0),
            login={name: value for name, value in login.items() if value},
            own_login={name: value for name, value in own_login.items() if value},
        )


def broker_of(url: str) -> tuple[str, dict[str, Any]]:
    """The address and the transport options by which Celery reaches the same Redis."""
    sentinels = Sentinels.of(url)
    if sentinels is None:
        if url.startswith("rediss:") and "ssl_cert_reqs=" not in url:
            # Without a word on it kombu would verify no certificate.
            url += ("&" if urlsplit(url).query else "?") + "ssl_cert_reqs=required"
        return url, {}
    names = (quote(sentinels.login.get(name, ""), safe="") for name in ("username", "password"))
    login = ":".join(names) + "@" if sentinels.login else ""
    urls = [f"sentinel://{login}{host}:{port}/{sentinels.db}" for host, port in sentinels.hosts]
    bounded = {"socket_timeout": 2, "socket_connect_timeout": 2}
    return ";".join(urls), {
        "master_name": sentinels.master,
        "sentinel_kwargs": bounded | sentinels.own_login,
    }


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    return (host, int(port)) if colon else (text, _SENTINEL_PORT)
