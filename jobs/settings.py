"""Every setting of the service in one table, read from the environment once, at the entry points."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?")


class SettingsError(ValueError):
    """A setting is missing or not of its kind; the message names it and says what to do."""


def _setting(name: str, default: Any, kind: Any = str) -> Any:
    return field(default=default, metadata={"env": name, "kind": kind})


def _list_of_client_and_seconds(text: str) -> frozenset[tuple[str, int]]:
    pairs = (entry.split("=") for entry in text.split(",") if entry.strip())
    return frozenset((client.strip(), int(seconds)) for client, seconds in pairs)


def _hosts(text: str) -> frozenset[str]:
    return frozenset(host.strip().lower() for host in text.split(",") if host.strip())


def list_of_origins(text: str) -> frozenset[str]:
    """Origins as browsers send them, such as https://portal.example.org. Raises ValueError for others."""
    origins = frozenset(origin.strip() for origin in text.split(",") if origin.strip())
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(text)
    return origins


@dataclass(frozen=True)
class Settings:
    """The service's settings. Each field's `env` is its environment variable."""

    signing_key: str = field(repr=False, metadata={"env": "OSTEO_SIGNING_KEY", "kind": str})
    """Secret of at least 32 characters that every client's webhook secret is derived from."""
    redis_url: str = field(
        default="redis://127.0.0.1:6379/0", repr=False, metadata={"env": "REDIS_URL", "kind": str}
    )
    s3_endpoint_url: str | None = _setting("S3_ENDPOINT_URL", None)
    """The S3 server; unset means AWS. Credentials come from boto3's own variables."""
    s3_bucket: str = _setting("S3_BUCKET", "osteo")
    s3_public_url: str | None = _setting("OSTEO_S3_PUBLIC_URL", None)
    """Where clients reach the S3 server to upload; unset means S3_ENDPOINT_URL, which they may not reach."""
    upload_seconds: int = _setting("OSTEO_UPLOAD_SECONDS", 900, int)
    """For how long an upload may begin, seven days at most; what is not submitted is erased an hour later."""
    public_url: str = _setting("OSTEO_PUBLIC_URL", "")
    """Base of the links in jobs and callbacks; empty makes them relative."""
    bundle: Path = _setting("OSTEO_BUNDLE", Path("model/bundle"), Path)
    engine: str | None = _setting("OSTEO_ENGINE", None)
    """What runs the model: tensorflow, openvino or onnxruntime; unset takes the best that is installed."""
    engine_cache: Path | None = _setting("OSTEO_ENGINE_CACHE", None, Path)
    """The worker's own folder for what an engine has compiled here; unset compiles at every start."""
    max_bytes: int = _setting("OSTEO_MAX_BYTES", 32 * 2**20, int)
    """Largest submission, in bytes."""
    max_study_bytes: int = _setting("OSTEO_MAX_STUDY_BYTES", 512 * 2**20, int)
    """Largest body of one study, by DICOMweb too, in bytes; each image in it is held to `max_bytes`."""
    max_instances: int = _setting("OSTEO_MAX_INSTANCES", 50, int)
    """Most instances that one DICOMweb request may hold."""
    max_pixels: int = _setting("OSTEO_MAX_PIXELS", 50_000_000, int)
    """Largest image, in pixels (width times height)."""
    max_queue: int = _setting("OSTEO_MAX_QUEUE", 10_000, int)
    """Jobs waiting beyond which a submission is answered 503."""
    max_queue_seconds: float = _setting("OSTEO_MAX_QUEUE_SECONDS", 3600.0, float)
    """Waiting time of a client's first job beyond which its next submission is answered 503."""
    client_queue: int = _setting("OSTEO_CLIENT_QUEUE", 2_000, int)
    """Jobs of one client waiting beyond which its next submission is answered 429."""
    client_rate: int = _setting("OSTEO_CLIENT_RATE", 600, int)
    """Submissions of one client a minute beyond which they are answered 429."""
    batch: int = _setting("OSTEO_BATCH", 8, int)
    """Most radiographs that one run of the model takes."""
    max_attempts: int = _setting("OSTEO_MAX_ATTEMPTS", 3, int)
    """Attempts after which a job that loses its worker ends `failed`."""
    sweep_seconds: float = _setting("OSTEO_SWEEP_SECONDS", 2.0, float)
    """Pause between two rounds of the sweeper."""
    analysis_seconds: float = _setting("OSTEO_ANALYSIS_SECONDS", 120.0, float)
    """Longest that one analysis may take; its worker then ends itself, and is started again."""
    deadline_seconds: float = _setting("OSTEO_DEADLINE_SECONDS", 86_400.0, float)
    """Time after which a job that still waits ends `expired`."""
    running_seconds: float = _setting("OSTEO_RUNNING_SECONDS", 300.0, float)
    """Time after which a running job is taken from a worker that lives: far above the slowest analysis."""
    callback_exceptions: frozenset[str] = _setting("OSTEO_CALLBACK_EXCEPTIONS", frozenset(), _hosts)
    """Hosts that may be called over plain http, on any port and at private addresses: for development."""
    callback_seconds: float = _setting("OSTEO_CALLBACK_SECONDS", 15.0, float)
    """Time-out of one callback, in all."""
    retention_seconds: int = _setting("OSTEO_RETENTION_SECONDS", 0, int)
    """How long after its end a job is kept, then it is deleted; 0 keeps it until its client deletes it."""
    client_retention: frozenset[tuple[str, int]] = _setting(
        "OSTEO_CLIENT_RETENTION", frozenset(), _list_of_client_and_seconds
    )
    """The same for single clients, as `clinic-a=604800,clinic-b=0`."""
    idempotency_seconds: int = _setting("OSTEO_IDEMPOTENCY_SECONDS", 7 * 86_400, int)
    """For how long an idempotency key stands for the first submission that it came with."""
    key_seconds: float = _setting("OSTEO_KEY_SECONDS", 30.0, float)
    """Time for which a key that was read is trusted: so long a revoked one may still be taken."""
    cors_origins: frozenset[str] = _setting("OSTEO_CORS_ORIGINS", frozenset(), list_of_origins)
    """Origins whose pages may use the API from a browser, separated by commas; none unless set."""
    view_seconds: int = _setting("OSTEO_VIEW_SECONDS", 86_400, int)
    """How long a job stays in Redis after its last change; the object store keeps it."""
    log_level: str = _setting("OSTEO_LOG_LEVEL", "INFO")

    def retention_of(self, client: str) -> int | None:
        """For how many seconds after their end this client's jobs are kept; None is for ever."""
        return dict(self.client_retention).get(client, self.retention_seconds) or None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings that `environment` holds, defaults for the rest.

        Raises SettingsError for a missing signing key and for a value of the wrong kind.
        """
        values = {}
        for f in fields(cls):
            text = environment.get(f.metadata["env"], "").strip()
            if text:
                try:
                    values[f.name] = f.metadata["kind"](text)
                except ValueError as error:
                    kind = f.metadata["kind"].__name__.strip("_").replace("_", " ")
                    raise SettingsError(f"{f.metadata['env']}={text!r} is not a {kind}") from error
        if len(values.get("signing_key", "")) < 32:
            raise SettingsError(
                "OSTEO_SIGNING_KEY must hold a secret of at least 32 characters;"
                " make one with: openssl rand -hex 32"
            )
        for name in values.keys() & {"public_url", "s3_public_url"}:
            values[name] = values[name].rstrip("/")
        return cls(**values)


NAMES = tuple(f.metadata["env"] for f in fields(Settings))
