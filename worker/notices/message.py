"""Writes what a reader is told: that a reading waits, where, until when, and how urgently. Nothing else."""

import hashlib
import json
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from jobs.reading.notices import Stage
from jobs.reading.reading import Reading
from jobs.record.job import now

TITLE = "A reading waits."


def mail(reading: Reading, stage: Stage, to: str, sender: str, public_url: str) -> EmailMessage:
    """Return the e-mail to one address. The same notice has the same Message-ID at every attempt."""
    message = EmailMessage()
    message["From"] = sender
    name, _, domain = to.rpartition("@")
    message["To"] = Address(username=name, domain=domain)
    message["Subject"] = TITLE
    message["Date"] = format_datetime(now())
    digest = hashlib.sha256(f"{reading.id} {stage} {to}".encode()).hexdigest()[:40]
    message["Message-ID"] = f"<{digest}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{TITLE}\n\n{_room(public_url)}\n\n{_when(reading)}\n")
    return message


def push(reading: Reading, public_url: str) -> bytes:
    """Return the JSON that the service worker of the reading room is given."""
    return json.dumps({"title": TITLE, "body": _when(reading), "url": _room(public_url)}).encode()


def _when(reading: Reading) -> str:
    return f"Due: {reading.due_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC. Priority: {reading.priority}."


def _room(public_url: str) -> str:
    return f"{public_url}/read"
