"""Writes what a reader is told: that a reading waits; in an e-mail also where, until when, how urgently."""

import hashlib
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from jobs.reading.notices import Stage
from jobs.reading.reading import Reading
from jobs.record.job import now

TITLE = "A reading waits."
PUSH = TITLE.encode()
"""All that is pushed: it may appear on a locked screen."""


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
    message.set_content(f"{TITLE}\n\n{public_url}/read\n\n{_when(reading)}\n")
    return message


def _when(reading: Reading) -> str:
    return f"Due: {reading.due_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC. Priority: {reading.priority}."
