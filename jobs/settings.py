"""Reads the settings of the service from the environment, once, at the entry points. All are in one table."""

import difflib
import ipaddress
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from email.utils import formataddr, parseaddr
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from jobs.targets.freshness import LONGEST_VALIDITY_S

log = logging.getLogger(__name__)

_HOUR, _DAY = 3600, 86_400
_CENTURY = 100 * 366 * _DAY
_GIGABYTE = 2**30
_Value = TypeVar("_Value")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?")


class SettingsError(ValueError):
    """A setting is missing, of the wrong kind or out of its range. The message names it and the remedy."""


def _setting(name: str, default: Any, kind: Any = str, within: tuple[float, float] | None = None) -> Any:
    """Return a field that the variable `name` sets. A number must lie between the two in `within`."""
    return field(default=default, metadata={"env": name, "kind": kind, "within": within})


def _by_client(text: str, kind: Callable[[str], _Value]) -> frozenset[tuple[str, _Value]]:
    """Read `client=value,client=value`. ValueError where a client is named twice: chance would take one."""
    pairs = [entry.split("=") for entry in text.split(",") if entry.strip()]
    values = {client.strip(): kind(value.strip()) for client, value in pairs}
    if len(values) < len(pairs):
        raise ValueError(text)
    return frozenset(values.items())


def _list_of_client_and_seconds(text: str) -> frozenset[tuple[str, int]]:
    kept = _by_client(text, int)
    if not all(0 <= seconds <= _CENTURY for _, seconds in kept):
        raise ValueError(text)
    return kept


def _list_of_client_and_time_zone(text: str) -> frozenset[tuple[str, ZoneInfo]]:
    try:
        return _by_client(text, ZoneInfo)
    except (OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError.
        raise ValueError(text) from error


def _log_level(text: str) -> str:
    if text not in _LOG_LEVELS:
        raise ValueError(text)
    return text


def _hosts(text: str) -> frozenset[str]:
    return frozenset(host.strip().lower() for host in text.split(",") if host.strip())


def list_of_origins(text: str) -> frozenset[str]:
    """Return origins as browsers send them, such as https://portal.example.org. Raises ValueError."""
    origins = frozenset(origin.strip() for origin in text.split(",") if origin.strip())
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(text)
    return origins


def is_loopback(host: str | None) -> bool:
    """Return whether the host of a URL is this machine, by name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(text)
    return text


def https_url(text: str) -> str:
    """Return a URL that begins with https://, or with http:// at loopback. Raises ValueError for another."""
    parts = urlsplit(text)
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    if not secure or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError(text)
    return text


def _mail_server(text: str) -> str:
    parts = urlsplit(text)
    # Reading the port raises ValueError where it is none.
    if (
        parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or parts.port == 0
        or parts.path.strip("/")
    ):
        raise ValueError(text)
    return text


def _mail_address(text: str) -> str:
    name, address = parseaddr(text)
    if not text.isprintable() or not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
        raise ValueError(text)
    return formataddr((name, address))


_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Settings:
    """The service's settings. Each field's `env` is its environment variable."""

    signing_key: str = field(repr=False, metadata={"env": "OSTEO_SIGNING_KEY", "kind": str, "within": None})
    """Secret of at least 32 characters that every client's webhook secret is derived from."""
    redis_url: str = field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        metadata={"env": "REDIS_URL", "kind": str, "within": None},
    )
    """The address of Redis, with a login: `redis://`, `sentinel://`, or by TLS `rediss://`, `sentinels://`."""
    s3_endpoint_url: str | None = _setting("S3_ENDPOINT_URL", None)
    """The S3 server; unset means AWS. Credentials come from boto3's own variables."""
    s3_bucket: str = _setting("S3_BUCKET", "osteo")
    """The bucket; `python -m admin.bucket` makes it."""
    s3_public_url: str | None = _setting("OSTEO_S3_PUBLIC_URL", None)
    """Where clients reach the S3 server to upload; unset means S3_ENDPOINT_URL, which they may not reach."""
    upload_seconds: int = _setting("OSTEO_UPLOAD_SECONDS", 900, int, (60, 7 * _DAY))
    """For how long an upload may begin, seven days at most; what is not submitted is erased an hour later."""
    public_url: str = _setting("OSTEO_PUBLIC_URL", "")
    """Base of the links in jobs and callbacks; empty makes them relative."""
    bundle: Path = _setting("OSTEO_BUNDLE", Path("model/bundle"), Path)
    """Folder of the model that inference serves."""
    bundle_cache: Path | None = _setting("OSTEO_BUNDLE_CACHE", None, Path)
    """A folder for fetched bundles; the workers of a machine may share it. Unset means a temporary one."""
    model_seconds: float = _setting("OSTEO_MODEL_SECONDS", 5.0, float, (0.1, 30))
    """Time after which the API and the workers look again which models are active, canary and shadow."""
    model_load_seconds: float = _setting("OSTEO_MODEL_LOAD_SECONDS", 90.0, float, (1, _HOUR))
    """Time in which a bundle that the roll-out names has to load; then the attempt ends, and the bundle is
    left out for an hour."""
    shadow_jobs: int = _setting("OSTEO_SHADOW_JOBS", 200, int, (100, 1_000_000))
    """Jobs that a bundle must have scored as shadow before it may become active."""
    shadow_disagreement: float = _setting("OSTEO_SHADOW_DISAGREEMENT", 0.1, float, (0, 0.5))
    """Share of these jobs, in all and in each group, on which its finding may differ from the one served."""
    engine: str | None = _setting("OSTEO_ENGINE", None)
    """What runs the model: openvino-int8, openvino, tensorflow or onnxruntime; unset takes the best that is
    installed and that the bundle's figures allow."""
    engine_cache: Path | None = _setting("OSTEO_ENGINE_CACHE", None, Path)
    """The worker's own folder for what an engine has compiled here; unset compiles at every start."""
    max_bytes: int = _setting("OSTEO_MAX_BYTES", 32 * 2**20, int, (1, _GIGABYTE))
    """Largest submission, in bytes."""
    max_study_bytes: int = _setting("OSTEO_MAX_STUDY_BYTES", 512 * 2**20, int, (1, 16 * _GIGABYTE))
    """Largest body of one study, by DICOMweb too, in bytes; each image in it is held to `OSTEO_MAX_BYTES`."""
    max_instances: int = _setting("OSTEO_MAX_INSTANCES", 50, int, (1, 1000))
    """Most instances that one DICOMweb request may hold."""
    max_pixels: int = _setting("OSTEO_MAX_PIXELS", 50_000_000, int, (1, 1_000_000_000))
    """Largest image, in pixels (width times height)."""
    decode_processes: int = _setting("OSTEO_DECODE_PROCESSES", 3, int, (1, 64))
    """Images that one process of the API, or one inference worker, decodes at a time; one client has all but
    one of them at most."""
    decode_cpu_seconds: int = _setting("OSTEO_DECODE_CPU_SECONDS", 4, int, (1, 600))
    """Processor time in which an image has to decode, and as much again for every 10 million pixels."""
    decode_seconds: float = _setting("OSTEO_DECODE_SECONDS", 60.0, float, (1, 600))
    """Time in which an image has to decode once a process has it, in all."""
    decode_megabytes: int = _setting("OSTEO_DECODE_MEGABYTES", 2_048, int, (512, 65_536))
    """Memory in which an image has to decode: address space of a decode process, libraries included."""
    decode_wait_seconds: float = _setting("OSTEO_DECODE_WAIT_SECONDS", 10.0, float, (0.1, 300))
    """Time for which an image waits for a decode process before its submission is answered 503."""
    body_seconds: float = _setting("OSTEO_BODY_SECONDS", 600.0, float, (1, _DAY))
    """Longest that the body of one request may take to arrive."""
    least_rate: float = _setting("OSTEO_LEAST_RATE", 1024.0, float, (0, _GIGABYTE))
    """Bytes a second that a body, or the reading of an answer, must reach over each ten seconds."""
    max_queue: int = _setting("OSTEO_MAX_QUEUE", 10_000, int, (1, 10_000_000))
    """Jobs waiting beyond which a submission is answered 503."""
    max_queue_seconds: float = _setting("OSTEO_MAX_QUEUE_SECONDS", 3600.0, float, (1, 100 * _DAY))
    """Waiting time of a client's first job beyond which its next submission is answered 503."""
    client_queue: int = _setting("OSTEO_CLIENT_QUEUE", 2_000, int, (1, 10_000_000))
    """Jobs of one client waiting beyond which its next submission is answered 429."""
    client_archive_queue: int = _setting("OSTEO_CLIENT_ARCHIVE_QUEUE", 256, int, (1, 10_000_000))
    """Jobs of one client and of priority `archive` waiting beyond which its next one is answered 429."""
    client_rate: int = _setting("OSTEO_CLIENT_RATE", 600, int, (1, 10_000_000))
    """Submissions of one client a minute beyond which they are answered 429."""
    client_callbacks: int = _setting("OSTEO_CLIENT_CALLBACKS", 600, int, (1, 10_000_000))
    """Test events and redeliveries of one client a minute beyond which it is answered 429."""
    batch: int = _setting("OSTEO_BATCH", 8, int, (1, 256))
    """Most radiographs that one run of the model takes."""
    max_attempts: int = _setting("OSTEO_MAX_ATTEMPTS", 3, int, (1, 100))
    """Attempts after which a job that loses its worker ends `failed`."""
    sweep_seconds: float = _setting("OSTEO_SWEEP_SECONDS", 2.0, float, (0.1, 60))
    """Pause between two rounds of the sweeper."""
    reconcile_seconds: float = _setting("OSTEO_RECONCILE_SECONDS", 600.0, float, (10, _DAY))
    """Longest time between two comparisons of Redis with all markers in the object store."""
    analysis_seconds: float = _setting("OSTEO_ANALYSIS_SECONDS", 120.0, float, (1, _DAY))
    """Longest that one analysis may take; its worker then ends itself, and is started again."""
    deadline_seconds: float = _setting("OSTEO_DEADLINE_SECONDS", 86_400.0, float, (1, _CENTURY))
    """Time after which a job that still waits ends `expired`."""
    running_seconds: float = _setting("OSTEO_RUNNING_SECONDS", 300.0, float, (1, 7 * _DAY))
    """Time after which a running job is taken from a worker that lives: far above the slowest analysis."""
    callback_exceptions: frozenset[str] = _setting("OSTEO_CALLBACK_EXCEPTIONS", frozenset(), _hosts)
    """Hosts that may be called over plain http, on any port and at private addresses: for development."""
    callback_seconds: float = _setting("OSTEO_CALLBACK_SECONDS", 15.0, float, (1, 300))
    """Time-out of one callback, in all."""
    target_seconds: int = _setting("OSTEO_TARGET_SECONDS", 300, int, (1, LONGEST_VALIDITY_S))
    """How long after its acquisition a picture's targets are valid for a robot."""
    client_time_zones: frozenset[tuple[str, ZoneInfo]] = _setting(
        "OSTEO_CLIENT_TIME_ZONES", frozenset(), _list_of_client_and_time_zone
    )
    """Time zones of clients whose DICOM files have none, as `clinic-a=Europe/Berlin,clinic-b=Asia/Tokyo`;
    without one the time of such an acquisition is unknown."""
    smtp_url: str | None = field(
        default=None,
        repr=False,
        metadata={"env": "OSTEO_SMTP_URL", "kind": _mail_server, "within": None},
    )
    """Server for e-mail to readers: `smtps://HOST:465` or `smtp://HOST:587`, with user and password before
    the host. `smtp://` needs STARTTLS, except for a server on the same machine. Unset sends none."""
    mail_from: str = _setting("OSTEO_MAIL_FROM", "", _mail_address)
    """Address that e-mail to readers comes from. Required with `OSTEO_SMTP_URL`. Push services get this
    address. If it is unset, they get `OSTEO_PUBLIC_URL`, if that is https. With neither, readers cannot use
    push."""
    retention_seconds: int = _setting("OSTEO_RETENTION_SECONDS", 0, int, (0, _CENTURY))
    """How long after its end a job is kept, then it is deleted; 0 keeps it until its client deletes it."""
    client_retention: frozenset[tuple[str, int]] = _setting(
        "OSTEO_CLIENT_RETENTION", frozenset(), _list_of_client_and_seconds
    )
    """The same for single clients, as `clinic-a=604800,clinic-b=0`."""
    idempotency_seconds: int = _setting("OSTEO_IDEMPOTENCY_SECONDS", 7 * _DAY, int, (1, _CENTURY))
    """For how long an idempotency key stands for the first submission that it came with."""
    probe_seconds: int = _setting("OSTEO_PROBE_SECONDS", 7 * _DAY, int, (60, _CENTURY))
    """How long a test event (probe) is kept after it was asked for, then it is erased."""
    rewrite_seconds: int = _setting("OSTEO_REWRITE_SECONDS", 900, int, (10, _DAY))
    """Shortest time between two rewrites of Redis' append-only file, which holds erased text until then."""
    key_seconds: float = _setting("OSTEO_KEY_SECONDS", 30.0, float, (0, _HOUR))
    """A process keeps a key that it has read for this time. A revoked key may work for as long."""
    cors_origins: frozenset[str] = _setting("OSTEO_CORS_ORIGINS", frozenset(), list_of_origins)
    """Origins whose pages may use the API from a browser, separated by commas; none unless set."""
    frame_ancestors: frozenset[str] = _setting("OSTEO_FRAME_ANCESTORS", frozenset(), list_of_origins)
    """Origins of the same site whose pages may show the reading room in a frame; none unless set."""
    oidc_issuer: str | None = _setting("OSTEO_OIDC_ISSUER", None, https_url)
    """The OpenID Connect provider at which readers may sign in, just as it names itself; unset means by key
    alone."""
    oidc_client_id: str | None = _setting("OSTEO_OIDC_CLIENT_ID", None)
    """The id of this service at that provider."""
    oidc_client_secret: str | None = field(
        default=None, repr=False, metadata={"env": "OSTEO_OIDC_CLIENT_SECRET", "kind": str, "within": None}
    )
    """The secret of this service at that provider."""
    view_seconds: int = _setting("OSTEO_VIEW_SECONDS", 86_400, int, (60, _CENTURY))
    """How long a job stays in Redis after its last change; the object store keeps it."""
    log_level: str = _setting("OSTEO_LOG_LEVEL", "INFO", _log_level)
    """DEBUG, INFO, WARNING, ERROR or CRITICAL."""
    metrics_port: int = _setting("OSTEO_METRICS_PORT", 0, int, (0, 65_535))
    """Port at which a worker serves its metrics; 0 serves none. Each worker of a machine needs its own."""
    metrics_address: str = _setting("OSTEO_METRICS_ADDRESS", "127.0.0.1")
    """Address of that port; `0.0.0.0` lets other machines ask, without a password."""
    metrics_clients: int = _setting("OSTEO_METRICS_CLIENTS", 0, int, (0, 1))
    """1 adds figures of each client to the API's metrics, with its name as a label."""
    otlp_endpoint: str | None = _setting("OTEL_EXPORTER_OTLP_ENDPOINT", None, _http_url)
    """Collector that traces go to by OTLP over HTTP, such as `http://127.0.0.1:4318`; unset records none."""

    @property
    def decode_bounds(self) -> dict[str, Any]:
        """What an image may take to decode: the values of model.decode_processes.process.Bounds."""
        return {
            "max_pixels": self.max_pixels,
            "cpu_seconds": self.decode_cpu_seconds,
            "seconds": self.decode_seconds,
            "megabytes": self.decode_megabytes,
        }

    def retention_of(self, client: str) -> int | None:
        """Return for how many seconds after their end a client's jobs are kept; None is for ever."""
        return dict(self.client_retention).get(client, self.retention_seconds) or None

    def time_zone_of(self, client: str) -> ZoneInfo | None:
        """Return the time zone of a client's files that name none; None where that is not known."""
        return dict(self.client_time_zones).get(client)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], signs: bool = True) -> "Settings":
        """Return the settings in `environment`, with defaults for the rest.

        A process that signs no callbacks (`signs`) needs no signing key, and ignores one.
        Raises SettingsError for a missing signing key, and for a value of the wrong kind or out of range.
        """
        values = {f.name: value for f in fields(cls) if (value := _read(f, environment)) is not None}
        if not signs:
            values["signing_key"] = ""
        elif len(values.get("signing_key", "")) < 32:
            raise SettingsError(
                "OSTEO_SIGNING_KEY must hold a secret of at least 32 characters;"
                " make one with: openssl rand -hex 32"
            )
        if "smtp_url" in values and "mail_from" not in values:
            raise SettingsError("OSTEO_MAIL_FROM must be set with OSTEO_SMTP_URL, as name@example.org")
        for name in values.keys() & {"public_url", "s3_public_url"}:
            values[name] = values[name].rstrip("/")
        return cls(**values)


def _read(setting: Field[Any], environment: Mapping[str, str]) -> Any:
    name, kind, within = (setting.metadata[part] for part in ("env", "kind", "within"))
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        value = kind(text)
    except ValueError as error:
        expected = kind.__name__.strip("_").replace("_", " ")
        if not setting.repr:
            raise SettingsError(f"{name} is not a {expected}") from None
        raise SettingsError(f"{name}={text!r} is not a {expected}") from error
    if within and not within[0] <= value <= within[1]:
        raise SettingsError(f"{name}={text!r} is out of its range: from {within[0]} to {within[1]}")
    return value


NAMES = tuple(f.metadata["env"] for f in fields(Settings))
ELSEWHERE = frozenset({"OSTEO_VAR", "OSTEO_URL", "OSTEO_KEY", "OSTEO_WEBHOOK_SECRET"})
"""Variables that `make up`, the client and receivers of callbacks read."""


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Log a warning for each name in `environment` that begins with OSTEO_ and is no setting."""
    for name in sorted(environment):
        if name.startswith("OSTEO_") and name not in {*NAMES, *ELSEWHERE}:
            close = difflib.get_close_matches(name, NAMES, 1, 0.8)
            meant = f"; {close[0]} is" if close else ""
            log.warning("%s is set and is no setting of this service%s", name, meant)
