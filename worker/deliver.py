"""Deliver one job's callback: signed by Standard Webhooks, sent to the very address that was judged."""

import json
import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import urllib3
from standardwebhooks import Webhook

from jobs.callback_url import CallbackRefused, parse, resolve
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
    """Call the job's receiver once if it is due, and record what came of it."""
    view = courier.ledger.view
    if not view.begin_delivery(job_id, courier.seconds * 2):
        return
    try:
        job = courier.ledger.read(job_id)
        due = job.next_delivery_at
        if not job.state.final or job.delivery is not Delivery.PENDING or due is None or due > now():
            return
        after = _after(job, _call(job, courier))
        try:
            courier.ledger.append(after)
        except Conflict:
            log.warning("this delivery was recorded by another", extra={"job": job_id})
            return
        if after.settled:
            courier.ledger.settle(after)
    finally:
        view.end_delivery(job_id)


def sign(job: Job, courier: Courier, at: datetime) -> tuple[bytes, dict[str, str]]:
    """The callback's body and its headers. The id is the same on every attempt."""
    body = json.dumps(
        {
            "type": f"job.{job.state}",
            "timestamp": moment_text(job.finished_at or at),
            "data": document(job, courier.public_url),
        },
        separators=(",", ":"),
    )
    message_id = f"msg_{job.id.removeprefix('job_')}"
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
    timeout = urllib3.Timeout(connect=min(5.0, courier.seconds), read=courier.seconds, total=courier.seconds)
    tls = {"assert_hostname": callback.host, "server_hostname": callback.host}
    with urllib3.connection_from_url(
        f"{callback.scheme}://{f'[{address}]' if ':' in address else address}:{callback.port}",
        timeout=timeout,
        **(tls if callback.scheme == "https" else {}),
    ) as pool:
        try:
            answer = pool.urlopen(
                "POST",
                callback.target,
                body=body,
                headers=headers | {"host": _host_header(callback.host, callback.port, callback.scheme)},
                redirect=False,
                retries=False,
                preload_content=False,
            )
            answer.close()
            return int(answer.status)
        except urllib3.exceptions.HTTPError as error:
            log.warning("no answer to the callback: %s", type(error).__name__, extra={"job": job.id})
            return None


def _host_header(host: str, port: int, scheme: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == {"http": 80, "https": 443}[scheme] else f"{name}:{port}"


def _after(job: Job, status: int | None) -> Job:
    if status is not None and 200 <= status < 300:
        return job.delivered()
    if status == GONE:
        return job.delivery_given_up(Delivery.DISABLED)
    if job.delivery_attempts >= len(SCHEDULE):
        return job.delivery_given_up(Delivery.FAILED)
    log.info("callback postponed, status %s", status, extra={"job": job.id})
    # Jitter keeps the callbacks of an outage from coming back all at once.
    pause = SCHEDULE[job.delivery_attempts] * random.uniform(0.8, 1.2)
    return job.delivery_postponed(now() + pause)
