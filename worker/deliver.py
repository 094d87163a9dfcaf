"""Deliver one job's callback: signed by Standard Webhooks, sent to the very address that was judged."""

import http.client
import json
import logging
import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Timer

from standardwebhooks import Webhook

from jobs.callback_url import Callback, CallbackRefused, parse, resolve
from jobs.document import document
from jobs.errors import Conflict
from jobs.job import Job, moment_text, now
from jobs.ledger import Ledger
from jobs.states import Delivery
from jobs.webhook import webhook_secret

log = logging.getLogger(__name__)

SCHEDULE = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Pauses after the first, second, ... failed attempt; after the last of them the callback is given up."""

GONE = 410


@dataclass(frozen=True)
class Courier:
    """What a delivery works with."""

    ledger: Ledger
    signing_key: str
    public_url: str
    exceptions: frozenset[str]
    seconds: float


def deliver(job_id: str, courier: Courier) -> None:
    """Call the job's receiver once if it is due, and record what came of it.

    The attempt is recorded before the call: whatever dies then, the receiver is not called without end.
    """
    view = courier.ledger.view
    token = view.begin_delivery(job_id, courier.seconds * 2)
    if token is None:
        return
    try:
        job = courier.ledger.read(job_id)
        due = job.next_delivery_at
        if not job.state.final or job.delivery is not Delivery.PENDING or due is None or due > now():
            return
        try:
            begun = courier.ledger.append(job.delivery_begun(now() + _pause(job)))
            after = _after(begun, _call(begun, courier))
            if after is not begun:
                courier.ledger.append(after)
        except Conflict:
            log.warning("this delivery was recorded by another", extra={"job": job_id})
            return
        if after.settled:
            courier.ledger.settle(after)
    finally:
        view.end_delivery(job_id, token)


def sign(job: Job, courier: Courier, at: datetime) -> tuple[bytes, dict[str, str]]:
    """The callback's body and its headers. The id is the same on every attempt to deliver it."""
    data = document(job, courier.public_url)
    # May hold anything, a patient's data too: it goes only to who asks with the key.
    del data["metadata"]
    event = {"type": f"job.{job.state}", "timestamp": moment_text(job.finished_at or at), "data": data}
    body = json.dumps(event, separators=(",", ":"))
    # One for each time that the job ended: a receiver drops what it has seen before.
    message_id = f"msg_{job.id.removeprefix('job_')}" + (f"_{job.retries}" if job.retries else "")
    signature = Webhook(webhook_secret(courier.signing_key, job.client)).sign(message_id, at, body)
    return body.encode(), {
        "content-type": "application/json",
        "user-agent": "osteo-synergy",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def _call(job: Job, courier: Courier) -> int | None:
    """Send the callback; its HTTP status, None where no answer came."""
    assert job.callback_url
    try:
        callback = parse(job.callback_url, courier.exceptions)
        address = resolve(callback, courier.exceptions)
    except (CallbackRefused, OSError) as error:
        log.warning("the callback cannot be sent: %s", error, extra={"job": job.id})
        return None
    body, headers = sign(job, courier, now())
    headers["host"] = _host_header(callback.host, callback.port, callback.scheme)
    try:
        with _connection(callback, address, courier.seconds) as connection:
            connection.request("POST", callback.target, body=body, headers=headers)
            return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        log.warning("no answer to the callback: %s", type(error).__name__, extra={"job": job.id})
        return None


@contextmanager
def _connection(callback: Callback, address: str, seconds: float) -> Iterator[http.client.HTTPConnection]:
    """Connect to `address`, by TLS as `callback` has it; everything is cut off after `seconds`, in all.

    A socket's own time-out starts anew with every byte, so a receiver that answers slowly enough could hold
    a thread for ever.
    """
    with ExitStack() as stack:
        plain = stack.enter_context(socket.create_connection((address, callback.port), min(5.0, seconds)))
        # Of its own, because TLS takes the first one over.
        lever = stack.enter_context(plain.dup())
        timer = Timer(seconds, _cut_off, [lever])
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
        plain.settimeout(seconds)
        line = plain
        if callback.scheme == "https":
            line = ssl.create_default_context().wrap_socket(plain, server_hostname=callback.host)
        connection = http.client.HTTPConnection(callback.host, callback.port)
        connection.sock = line
        stack.callback(connection.close)
        yield connection


def _cut_off(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _host_header(host: str, port: int, scheme: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == {"http": 80, "https": 443}[scheme] else f"{name}:{port}"


def _pause(job: Job) -> timedelta:
    # Jitter keeps the callbacks of an outage from coming back all at once.
    return SCHEDULE[min(job.delivery_attempts, len(SCHEDULE) - 1)] * random.uniform(0.8, 1.2)


def _after(begun: Job, status: int | None) -> Job:
    if status is not None and 200 <= status < 300:
        return begun.delivered()
    if status == GONE:
        return begun.delivery_given_up(Delivery.DISABLED)
    if begun.delivery_attempts > len(SCHEDULE):
        return begun.delivery_given_up(Delivery.FAILED)
    log.info("callback postponed, status %s", status, extra={"job": begun.id})
    return begun
