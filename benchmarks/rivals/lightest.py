"""Starts the lightest service that promises what this one does, of Flask, Celery and the stores' clients."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.service import Service, ServiceClient, stores_alone
from jobs.callbacks.signing import webhook_secret
from jobs.redis.client import connect
from jobs.redis.queue import INFER_ROUTINE
from model.bundle import Bundle
from stack import answers
from stack.addresses import HOST, free_ports
from stack.development import prepare
from stack.part import Command
from stack.receiver import Receiver

PROCESSES, THREADS = 2, 8
"""Processes of the intake, as api/gunicorn.conf.py has them, and how many submissions each has at once."""
INTAKE, ANALYSIS = "intake", "analysis"
"""The names of its two parts."""
READY = "rival:ready"
"""The key in Redis that the worker sets once its network has run."""


def begin_intake(
    service: Service, name: str, settings: Mapping[str, str], cores: set[int] | None = None
) -> str:
    """Start the application that accepts radiographs, on these cores if any, and return its address."""
    (port,) = free_ports(1)
    address = f"http://{HOST}:{port}"
    assert service.secrets.api_key
    digest = hashlib.sha256(service.secrets.api_key.encode()).hexdigest()
    command = Command(
        name,
        (
            *(sys.executable, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "--keep-alive", "75"),
            *("--workers", str(PROCESSES), "--threads", str(THREADS), "benchmarks.rivals.flask_intake:app"),
        ),
        {**service.settings, "RIVAL_KEY_SHA256": digest, **settings},
        answers.http(address, statuses=range(200, 500)),
    )
    service.begin([command], cores)
    return address


@contextmanager
def lightest_service(bundle: Bundle) -> Iterator[tuple[Service, ServiceClient]]:
    """Run intake with the API's guards, worker and stores; yield that service and a client of it."""
    with stores_alone(OSTEO_BUNDLE=str(bundle.folder.resolve())) as service:
        service.begin([worker(service)])
        service.secrets = prepare(service.secrets, service.folder, service.addresses, service.settings)
        address = begin_intake(service, INTAKE, {"RIVAL_GUARDS": "1"})
        with Receiver(_secret(service)) as receiver:
            yield service, ServiceClient(service, receiver, address)


def worker(service: Service) -> Command:
    """Make the worker, for the bundle that the service names; it answers once its network has run."""
    redis = connect(service.settings["REDIS_URL"])
    return Command(
        ANALYSIS,
        (
            *(sys.executable, "-m", "celery", "--app", "benchmarks.rivals.celery_worker", "worker"),
            *("--pool", "threads", "--concurrency", str(THREADS), "--queues", INFER_ROUTINE),
            *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
        ),
        {**service.settings, "RIVAL_ENGINE": "service", "RIVAL_WEBHOOK_SECRET": _secret(service)},
        lambda _: bool(redis.exists(READY)),
    )


def _secret(service: Service) -> str:
    return webhook_secret(service.settings["OSTEO_SIGNING_KEY"], "rival")
