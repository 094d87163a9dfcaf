"""Reads where an MQTT broker is, and who we are to it."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from jobs.settings import is_loopback

_PORT_OF = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Broker:
    """The address of a broker, the TLS to use, and the name and password that the environment has."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    user: str | None
    password: str | None = field(repr=False)


def broker_at(url: str, ca: str | None, environment: Mapping[str, str]) -> Broker:
    """Return the broker that a URL names. `MQTT_USERNAME` and `MQTT_PASSWORD` are read from `environment`.

    Raises ValueError for another form, for a password in the URL, for certificates that cannot be read, and
    for a host elsewhere without TLS: what can be changed on its way is no target.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORT_OF or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("--mqtt is mqtts://host[:port] or mqtt://host[:port]")
    if parts.username is not None:
        raise ValueError("the broker's user and password are read from MQTT_USERNAME and MQTT_PASSWORD")
    if parts.scheme == "mqtt" and not is_loopback(parts.hostname):
        raise ValueError("a broker on another machine is reached by TLS: mqtts://")
    try:
        tls = ssl.create_default_context(cafile=ca) if parts.scheme == "mqtts" else None
    except OSError as error:
        raise ValueError(f"--mqtt-ca {ca}: {error}") from error
    port = parts.port or _PORT_OF[parts.scheme]
    names = environment.get("MQTT_USERNAME"), environment.get("MQTT_PASSWORD")
    return Broker(parts.hostname, port, tls, *names)
